//! Makes one thread of a process stand still while the others go on, as a stuck system call, a lock that is
//! never given back or a debugger does.

use std::sync::mpsc;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// A thread that stands still. Dropping it lets the thread go on.
pub struct Frozen {
    release: mpsc::Sender<()>,
    tracer: Option<std::thread::JoinHandle<()>>,
}

/// Returns the threads of a process whose names begin so, in the order in which they were started.
pub fn threads(pid: u32, name: &str) -> Vec<i32> {
    let mut found: Vec<i32> = std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let comm = std::fs::read_to_string(entry.path().join("comm")).ok()?;
            comm.trim_end().starts_with(name).then(|| entry.file_name().to_string_lossy().parse().ok())?
        })
        .collect();
    found.sort_unstable();
    found
}

/// Freezes one thread. Who traces has to be one thread from beginning to end, so there is one for it.
pub fn freeze(thread: i32) -> Frozen {
    let (release, released) = mpsc::channel();
    let (frozen, done) = mpsc::channel();
    let tracer = std::thread::spawn(move || {
        let thread = Pid::from_raw(thread);
        ptrace::seize(thread, ptrace::Options::empty()).expect("a thread of a child can be traced");
        ptrace::interrupt(thread).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        frozen.send(()).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
        if status.contains(&format!("Tgid:\t{thread}\n")) {
            // The first thread bears the exit code of the process, and that is for whoever started it to
            // take.
            let _ = released.recv();
            let _ = ptrace::detach(thread, None);
            return;
        }
        loop {
            let order = released.recv_timeout(std::time::Duration::from_millis(20));
            // A process cannot end before its threads are taken leave of.
            match waitpid(thread, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
                Ok(nix::sys::wait::WaitStatus::StillAlive) => {}
                Ok(_) | Err(Errno::ECHILD) => return,
                Err(error) => panic!("{error}"),
            }
            if !matches!(order, Err(mpsc::RecvTimeoutError::Timeout)) {
                let _ = ptrace::detach(thread, None);
                return;
            }
        }
    });
    done.recv().unwrap();
    Frozen { release, tracer: Some(tracer) }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = self.release.send(());
        if let Some(tracer) = self.tracer.take() {
            let _ = tracer.join();
        }
    }
}
