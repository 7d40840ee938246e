//! What the demo says while it goes on, in lines that a newcomer understands.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

use super::DemoError;

/// Lines with the seconds since the start before them.
pub(super) struct Screen<'a> {
    out: &'a mut (dyn Write + Send),
    started: Instant,
}

impl<'a> Screen<'a> {
    pub(super) fn new(out: &'a mut (dyn Write + Send)) -> Screen<'a> {
        Screen { out, started: Instant::now() }
    }

    /// Since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Says what happens now.
    pub(super) fn say(&mut self, text: impl Display) -> Result<(), DemoError> {
        let seconds = self.elapsed().as_secs_f64();
        self.write(format_args!("{seconds:6.1}s  {text}\n"))
    }

    /// Shows what a program printed.
    pub(super) fn quote(&mut self, printed: &str) -> Result<(), DemoError> {
        printed.lines().try_for_each(|line| self.write(format_args!("         | {line}\n")))
    }

    /// Writes a part of the report as it is.
    pub(super) fn write(&mut self, text: impl Display) -> Result<(), DemoError> {
        write!(self.out, "{text}").and_then(|()| self.out.flush()).map_err(DemoError::Screen)
    }
}

/// A number with its thousands set apart.
pub(super) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in the unit that suits it.
pub(super) fn bytes(bytes: f64) -> String {
    indicatif::HumanBytes(bytes.max(0.0) as u64).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0, 999, 1000, -1_234_567].map(count);
        assert_eq!(texts, ["0", "999", "1,000", "-1,234,567"]);
    }
}
