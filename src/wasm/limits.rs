//! Every bound on a provider, one constant each, with its reason.
//!
//! Invariant: nothing that a component does makes the host allocate, compute or wait without end.
//! The depth of the tree (64) is not here: one call shows one level, so the core, which walks the
//! path, keeps that bound.

use std::time::Duration;

pub use crate::names::{NAME_MAX, TARGET_MAX};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Bytes of a node id. Upstream identities are UUIDs, hashes and short composites; the core keeps
/// one for each cached node, so it may not be a document.
pub const ID_MAX: usize = KIB;

/// Bytes of a scope id, kept once for each cached node like an id.
pub const SCOPE_MAX: usize = KIB;

/// Bytes of a version: an ETag, a hash or a time.
pub const VERSION_MAX: usize = KIB;

/// Nodes in one listing. Beyond it `ls` and `find` stop being useful, and the reply alone passes
/// 30 MB; a provider shows the newest and says so with `preload.partial`.
pub const LISTING_MAX: usize = 100_000;

/// Bytes of one file whose content a component hands over: it is held whole in the cache and for each open
/// handle. The default; see [`Limits::content`].
pub const CONTENT_MAX: usize = 64 * MIB;

/// Nodes offered by one call: 10,000 objects with 40 leaves each. What exceeds it is dropped, because
/// an offer is a hint.
pub const OFFERED_NODES_MAX: usize = 400_000;

/// Bytes offered by one call, names and ids included: 5,000 issues of 26 KiB. What exceeds it is
/// dropped.
pub const OFFERED_BYTES_MAX: usize = 128 * MIB;

/// Listings that one call says it cut short. A call lists one directory and offers some others.
pub const PARTIALS_MAX: usize = 1_000;

/// Bytes of one log line and lines of one call, as `wit/log.wit` says. Enough to follow one call, too
/// little to fill a disk.
pub const LOG_LINE_MAX: usize = 4 * KIB;
pub const LOG_LINES_MAX: u32 = 100;

/// Bytes of a text in an error, a note or the manifest: one line of `omnifs status`.
pub const TEXT_MAX: usize = KIB;

/// Changes that one item of a feed may name. A larger one is a `gap`.
pub const CHANGES_MAX: usize = 10_000;

/// Bytes of a feed's cursor, which the host keeps and hands back with each item.
pub const CURSOR_MAX: usize = 4 * KIB;

/// Entries of each list in a manifest. A person reads and approves them.
pub const MANIFEST_LIST_MAX: usize = 64;

/// Bytes of a component file. One that carries a whole JavaScript engine has some 12 MiB, one with Python 18.
pub const COMPONENT_MAX: usize = 64 * MIB;

/// Bytes of one function's code, local variables aside. The largest of a JavaScript or Python interpreter
/// have some 100 KiB; a compiler's time grows with the square of it.
pub const FUNCTION_MAX: u64 = 256 * KIB as u64;

/// Bytes of a function that does nothing but add to addresses and store them. A Python interpreter has one of
/// 420 KiB, by which its modules are linked; a compiler's time is in proportion.
pub const RELOCATIONS_MAX: u64 = MIB as u64;

/// Operands of such a function at any one place. An address and what is stored there have four. A function that loads a
/// hundred thousand and then adds them up has a compiler keep them all, and its time is in no proportion.
pub const RELOCATED_MAX: u64 = 15;

/// What a byte of such a function costs a compiler, in the unit of [`LOCAL_WORK`]: twice what was measured.
pub const RELOCATION_WORK: u64 = 8_000;

/// Operators of one constant: the value of a global, or where data and elements begin. They are computed
/// whenever a module is instantiated, which no clock interrupts; linkers add one number to another.
pub const CONSTANT_MAX: u64 = 16;

/// Local variables of one function. Large ones of optimised programs have some hundred.
pub const LOCALS_MAX: u64 = 10_000;

/// Functions of a component, what it lifts and lowers included. Interpreters have tens of thousands; each
/// costs a compiler some 0.05 ms, however small.
pub const FUNCTIONS_MAX: u64 = 100_000;

/// Bytes of code of a component. A JavaScript or Python interpreter has less than 12 MiB.
pub const CODE_MAX: u64 = 24 * MIB as u64;

/// What a local variable costs a compiler with each byte of its function, each block (times the blocks
/// around it) and each loop (times the loops around it). The unit is what two bytes of a function cost
/// with each other, measured: 0.25 ns.
pub const LOCAL_WORK: u64 = 100;
pub const BLOCK_WORK: u64 = 250;
pub const LOOP_WORK: u64 = 8_000;

/// Cost of all functions in that unit: 50 s of one core and 2 GiB. An interpreter's largest function
/// takes a fifth.
pub const WORK_MAX: u64 = 200_000_000_000;

/// Loops within each other in one function. Programs have a dozen; a compiler's time grows with the
/// cube.
pub const LOOPS_MAX: u64 = 64;

/// Blocks within each other in one function: a `match` of so many arms.
pub const BLOCKS_MAX: u64 = 4_000;

/// Parameters and results of one function, or of a block, which costs as much at each jump to it.
pub const PARAMETERS_MAX: u64 = 128;
pub const RESULTS_MAX: u64 = 16;

/// Core modules and components in a component, itself included.
pub const PARTS_MAX: u64 = 128;

/// Components within each other, with the module in the innermost.
pub const NESTED_MAX: u64 = 8;

/// Components that are instantiated when one is: each exported interface is one of toolchains.
pub const INSTANTIATED_MAX: u64 = 1_000;

/// How long anybody waits for a compilation. What the bounds above let pass takes less on two cores that
/// have nothing else to do.
pub const COMPILE_MAX: Duration = Duration::from_secs(60);

/// Requests of one call: a listing of [`LISTING_MAX`] nodes in pages of 100.
pub const FETCHES_MAX: u32 = 1_000;

/// Requests of one `fetch-all` that are handed on at a time.
pub const PARALLEL_MAX: usize = 16;

/// Requests of one `begin` that are under way at a time: as many as one endpoint has.
pub const BEGUN_MAX: usize = 32;

/// Linear memory of one instance, unless the user gives it more. A content of [`CONTENT_MAX`] fits with
/// the response it was taken from, a decoded copy and the allocator's overhead.
pub const MEMORY: usize = 256 * MIB;

/// The most that a user can give one instance: address space is set aside for so much.
pub const MEMORY_MAX: usize = 1024 * MIB;

/// Linear memory of all running calls of one provider, with what they have offered: four of the largest,
/// or thousands of the usual 1.5 MiB. One provider can take this much of a laptop, and no more.
pub const MEMORY_TOGETHER_MAX: usize = 1024 * MIB;

/// Elements of one table: function pointers. Large programs in debug builds have some 10,000.
pub const TABLE_MAX: usize = 20_000;

/// Core modules in one component. Toolchains make up to 4; a composed component has more, and one of Python
/// some 20, for its interpreter and libraries.
pub const CORE_INSTANCES_MAX: u32 = 32;

/// Stack of the guest's code. wasmtime's default, enough for a recursive JSON parser 1,000 deep.
pub const STACK_MAX: usize = 512 * KIB;

/// Random bytes in one call: seeds and identifiers, not a stream.
pub const RANDOM_MAX: u64 = 64 * KIB as u64;

/// Resources (pollables, streams) that one instance may hold. A provider needs three.
pub const RESOURCES_MAX: usize = 1_000;

/// Running instances of all providers. Address space for each is reserved at start (4 GiB, not
/// memory), so that guest code needs no bounds checks; 256 reserve 1 TiB of the 128 TiB there are.
pub const INSTANCES_MAX: u32 = 256;

/// Running calls of one provider. The rest of [`INSTANCES_MAX`] stays for the others.
pub const IN_FLIGHT_MAX: usize = 64;

/// Time between two looks at a running guest. It is how long a guest can keep a worker thread from
/// its other tasks.
pub const TICK: Duration = Duration::from_millis(10);

/// CPU time of one call, beside what it takes to read what it has fetched.
pub const CPU_MAX: Duration = Duration::from_secs(2);

/// CPU time for each MiB that a call has fetched. To decode it and to build the entries of it takes
/// some 30 ms; a long listing that has spent its requests is not to be thrown away for that.
pub const CPU_FOR_MIB: Duration = Duration::from_millis(125);

/// Time of one call outside its requests, which have their own deadlines: queueing, computing and
/// sleeping.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

/// Time of one call in all: a listing of 100 pages from a slow service. A program that waits longer
/// has long been interrupted.
pub const TOTAL_MAX: Duration = Duration::from_secs(120);

/// The bounds that depend on the machine and its user. The others are part of the interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`CPU_MAX`].
    pub cpu: Duration,
    /// See [`WAIT_MAX`].
    pub wait: Duration,
    /// See [`TOTAL_MAX`].
    pub total: Duration,
    /// Bytes, at most [`MEMORY_MAX`].
    pub memory: usize,
    /// Bytes; see [`MEMORY_TOGETHER_MAX`].
    pub memory_together: usize,
    /// See [`IN_FLIGHT_MAX`].
    pub in_flight: usize,
    /// Bytes; see [`CONTENT_MAX`].
    pub content: usize,
}

impl Limits {
    /// CPU time of a call that has fetched so many bytes.
    pub fn cpu_for(&self, fetched: usize) -> Duration {
        let mib = u32::try_from(fetched / MIB).unwrap_or(u32::MAX);
        self.cpu.saturating_add(CPU_FOR_MIB.saturating_mul(mib)).min(self.total)
    }

    /// Bytes that one call across the boundary may hand to the host: the largest content, or the
    /// largest listing, twice.
    pub fn transfer(&self) -> usize {
        2 * self.content.max(CONTENT_MAX)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            cpu: CPU_MAX,
            wait: WAIT_MAX,
            total: TOTAL_MAX,
            memory: MEMORY,
            memory_together: MEMORY_TOGETHER_MAX,
            in_flight: IN_FLIGHT_MAX,
            content: CONTENT_MAX,
        }
    }
}
