//! Known bugs of the core, of the bus and of the store on disk, each in the line that prevents it. A model check plants one at a time to see
//! that it finds every one of them, and a test of `disk` the disk's. A release build has none.

use std::cell::Cell;

/// A bug, by what a core with it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Keeps an answer whatever events came while it was on its way.
    LandsOverEvents,
    /// Gives an answer that an event has overtaken to who asked after the event.
    SharesOvertaken,
    /// Serves what was granted before the feed turned.
    GrantsOverEras,
    /// Marks an object that an event names, and nothing that is part of it.
    ForgetsParts,
    /// Has no kernel drop the names of a directory whose entries changed.
    ForgetsNames,
    /// Lets a kernel keep that a name is absent without a note of it.
    ForgetsAbsences,
    /// Tells no kernel that a feed is lost.
    LosesInSilence,
    /// Takes a part of a directory's entries for all of them.
    BelievesPartial,
    /// Takes an answer without a version for a proof that the content is the same.
    ProvesByName,
    /// Serves a listing that holds what is gone.
    ListsRemoved,
    /// Shows what is new to who has the old one open.
    DropsWhatIsOpen,
    /// Gives a handle another size where it may have one only.
    ChangesSizes,
    /// Has a kernel keep the pages of another content, after the event and at the next open.
    KeepsPages,
    /// Gives what a name leads to the handle of what it led to before.
    ReusesHandles,
    /// Takes a resume for a proof that nothing was missed, although a gap was told since the loss.
    ResumesOverGaps,
    /// Doubts what is held each time that a feed says it stands.
    DoubtsWhatStands,
    /// Takes a service's failure for the word that there is no such name.
    TakesFailureForAbsence,
    /// Takes a place of the same number for the same place on a chain.
    TrustsNumbers,
    /// Takes a beat that is heard once more for another one.
    BelievesOldBeats,
    /// Takes a beat for true wherever the mount itself stands.
    LivesBehind,
    /// Goes on after another relay's message as if it had said all that it was told.
    ForgetsWhatItWasTold,
    /// Writes where another may have written, and says nothing of it.
    WritesUnmarked,
    /// Says that a feed stands which has not proven what it missed.
    ResumesUnproven,
    /// Writes how far a feed has come before what it told.
    SettlesBeforeItsEvents,
}

thread_local! {
    static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Plants a bug into all that this thread does from now on, in place of the one before.
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.set(mutant);
}

/// Whether the core has this bug.
pub fn planted(mutant: Mutant) -> bool {
    cfg!(debug_assertions) && PLANTED.get() == Some(mutant)
}
