//! Whether the judge judges: each known bug is planted by itself, and has to be found.

use crate::feed::Turn;
use crate::search;
use crate::world::World;
use omnifs::mutants::Mutant;

/// What is wrong with what is checked.
#[derive(Clone, Copy, Debug)]
pub enum Bug {
    Core(Mutant),
    /// Kernels are told of an event before the core has marked anything.
    TellsBeforeMarking,
}

impl Bug {
    pub fn of_the_core(self) -> Option<Mutant> {
        match self {
            Bug::Core(mutant) => Some(mutant),
            Bug::TellsBeforeMarking => None,
        }
    }
}

impl World {
    fn tells_first(&self) -> bool {
        matches!(self.bug, Some(Bug::TellsBeforeMarking))
    }

    /// Has kernels drop what events concern now, and the core hear of them later. False where that is not
    /// the bug.
    pub fn put_off(&self, scope: usize, turn: &Turn) -> bool {
        self.mark_late();
        let late = self.tells_first() && matches!(turn, Turn::Deliver(_));
        if late {
            let mut model = self.model();
            model.kernel.drop_all();
            model.late = Some((scope, turn.clone()));
        }
        late
    }

    /// The core hears of what was put off.
    pub fn mark_late(&self) {
        let late = self.model().late.take();
        if let Some((scope, turn)) = late {
            self.hand(scope, turn);
        }
    }

    /// Kernels were told before.
    pub fn ignore_if_told(&self) {
        if self.tells_first() {
            self.model().kernel.ignore();
        }
    }
}

/// Steps within which each is found. Most take a few thousand, and a resume over a gap some 200,000.
const STEPS: usize = 2_000_000;

fn is_found(bug: Bug) {
    match search(1, STEPS, Some(bug)) {
        Ok(ran) => panic!("{bug:?} was not noticed: {:?}", ran.tally),
        Err(found) => println!("{bug:?}: {found}"),
    }
}

macro_rules! found {
    ($(fn $test:ident() { $bug:expr })*) => {$(
        #[test]
        #[cfg_attr(not(debug_assertions), ignore = "a release build has no mutants")]
        fn $test() {
            is_found($bug);
        }
    )*};
}

found! {
    fn an_answer_that_lands_over_events_is_found() { Bug::Core(Mutant::LandsOverEvents) }
    fn an_answer_that_is_shared_although_overtaken_is_found() { Bug::Core(Mutant::SharesOvertaken) }
    fn a_grant_that_outlives_its_era_is_found() { Bug::Core(Mutant::GrantsOverEras) }
    fn an_event_that_reaches_no_part_is_found() { Bug::Core(Mutant::ForgetsParts) }
    fn a_name_that_is_not_expired_is_found() { Bug::Core(Mutant::ForgetsNames) }
    fn an_absence_without_a_note_is_found() { Bug::Core(Mutant::ForgetsAbsences) }
    fn a_feed_that_is_lost_in_silence_is_found() { Bug::Core(Mutant::LosesInSilence) }
    fn a_partial_listing_taken_for_whole_is_found() { Bug::Core(Mutant::BelievesPartial) }
    fn a_content_proven_by_its_name_is_found() { Bug::Core(Mutant::ProvesByName) }
    fn a_listing_of_what_is_gone_is_found() { Bug::Core(Mutant::ListsRemoved) }
    fn an_open_file_that_is_not_left_to_its_holders_is_found() { Bug::Core(Mutant::DropsWhatIsOpen) }
    fn a_handle_of_two_sizes_is_found() { Bug::Core(Mutant::ChangesSizes) }
    fn pages_of_another_content_are_found() { Bug::Core(Mutant::KeepsPages) }
    fn a_handle_of_another_object_is_found() { Bug::Core(Mutant::ReusesHandles) }
    fn a_resume_over_a_gap_is_found() { Bug::Core(Mutant::ResumesOverGaps) }
    fn a_feed_that_stands_and_is_doubted_is_found() { Bug::Core(Mutant::DoubtsWhatStands) }
    fn a_failure_taken_for_an_absence_is_found() { Bug::Core(Mutant::TakesFailureForAbsence) }
    fn a_notification_before_the_marking_is_found() { Bug::TellsBeforeMarking }
}
