//! The exit codes of the program, which are a contract with schedulers. Never 99: Airflow's BashOperator
//! takes it for "skip".

pub const DONE: i32 = 0;
/// The command ran and the answer is no: the poll failed, a check found faults.
pub const NO: i32 = 1;
/// The command line makes no sense; clap ends with the same.
pub const USAGE: i32 = 2;
/// The service or something it depends on cannot be reached.
pub const UNREACHABLE: i32 = 69;
/// The pipeline failed too often, or lost what it cannot work without; started again, it may work.
pub const GAVE_UP: i32 = 70;
/// The pipeline gave up over a thread that no longer turned, work that stood still, or a partition that no
/// longer moved.
pub const HUNG: i32 = 71;
/// `--timeout` passed; the poll goes on.
pub const TIMEOUT: i32 = 75;
/// The token was refused.
pub const REFUSED: i32 = 77;
/// The settings cannot work, also where only a server could tell, or what they name is not set up: the
/// database is not migrated, a topic is missing.
pub const SETTINGS: i32 = 78;
/// Interrupted while following; the poll goes on.
pub const INTERRUPTED: i32 = 130;
