//! Names points around durable effects where a test can break the program on purpose.
//!
//! Without the cargo feature `fault-points` a point compiles to nothing. With it, a test scripts what
//! happens there; the function around the point returns an error that converts from [`Injected`].

/// Marks a point, named `stage:effect:before` or `stage:effect:after`.
#[macro_export]
macro_rules! fault_point {
    ($name:expr) => {
        #[cfg(feature = "fault-points")]
        $crate::faults::hit($name)?;
    };
}

#[cfg(feature = "fault-points")]
pub use scripted::{Fault, Injected, clear, hit, script};

#[cfg(feature = "fault-points")]
mod scripted {
    use parking_lot::Mutex;
    use std::collections::HashMap;
    use std::time::Duration;

    /// What a point does when it is reached.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fault {
        Panic,
        Exit(i32),
        Sleep(Duration),
        Error,
    }

    /// The error that a point returns when it is told to.
    #[derive(Debug, Clone, thiserror::Error)]
    #[error("injected fault at {point}")]
    pub struct Injected {
        pub point: &'static str,
    }

    static SCRIPTS: Mutex<Option<HashMap<String, Vec<Fault>>>> = Mutex::new(None);

    /// Has the point do these things, one each time that it is reached, and nothing afterwards.
    pub fn script(point: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut faults: Vec<Fault> = faults.into_iter().collect();
        faults.reverse();
        SCRIPTS.lock().get_or_insert_default().insert(point.to_owned(), faults);
    }

    /// Forgets every script.
    pub fn clear() {
        *SCRIPTS.lock() = None;
    }

    /// Does what the script says for this visit of the point.
    #[expect(clippy::panic, reason = "a scripted panic is what the test asked for")]
    pub fn hit(point: &'static str) -> Result<(), Injected> {
        let fault = SCRIPTS.lock().as_mut().and_then(|scripts| scripts.get_mut(point)).and_then(Vec::pop);
        match fault {
            None => Ok(()),
            Some(Fault::Panic) => panic!("injected panic at {point}"),
            Some(Fault::Exit(code)) => std::process::exit(code),
            Some(Fault::Sleep(duration)) => {
                std::thread::sleep(duration);
                Ok(())
            }
            Some(Fault::Error) => Err(Injected { point }),
        }
    }
}
