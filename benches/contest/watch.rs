//! Runs programs to their end and says how long they took, and how much memory and processor time.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a program took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// From its start to its end.
    pub wall: Duration,
    /// The most memory that was resident at any time.
    pub resident_bytes: u64,
    /// Its processor time, that of the system on its behalf included.
    pub processor: Duration,
}

const POLL: Duration = Duration::from_millis(5);
/// `USER_HZ` of every Linux there is (the manual of `proc_pid_stat`).
const TICKS_A_SECOND: u64 = 100;

/// Runs a program to its end; panics with what it said when it fails.
pub fn run(command: &mut Command) -> Taken {
    let said = tempfile::NamedTempFile::new().unwrap();
    let started = Instant::now();
    let errors = said.reopen().unwrap();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::from(errors.try_clone().unwrap()))
        .stderr(Stdio::from(errors))
        .spawn()
        .unwrap();
    let mut taken = Taken::default();
    loop {
        let ended = child.try_wait().unwrap();
        if let Some(status) = ended {
            taken.wall = started.elapsed();
            let said = fs::read_to_string(said.path()).unwrap();
            assert!(status.success(), "{command:?} ended with {status}:\n{said}");
            return taken;
        }
        observe(child.id(), &mut taken);
        std::thread::sleep(POLL);
    }
}

/// Looks at a process that runs: its peak so far, its time so far.
fn observe(pid: u32, taken: &mut Taken) {
    taken.resident_bytes = taken.resident_bytes.max(most_resident(pid));
    taken.processor = taken.processor.max(processor_time(pid));
}

/// The most memory of a process that was resident so far, in bytes; nothing once it is gone.
pub fn most_resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// The processor time that a process has used so far; nothing once it is gone.
pub fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; user and system time are the 12th and 13th
    // fields after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 1000 / TICKS_A_SECOND)
}

/// A shell's script, which fails with its first failing part.
pub fn script(text: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", text]);
    command
}
