//! What was asked for, as words on the command line.

/// Which works, and how often.
pub struct Wanted {
    /// How often each contender does its work.
    pub rounds: usize,
    works: Vec<String>,
}

impl Wanted {
    /// What the arguments say. None without `--bench`: a test runner that runs all targets comes by,
    /// and nothing is to be measured.
    pub fn of_arguments() -> Option<Wanted> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        if !words.iter().any(|word| word == "--bench") {
            return None;
        }
        let rounds = words.iter().find_map(|word| word.strip_prefix("rounds="));
        let works = words.iter().filter(|word| !word.contains(['-', '='])).cloned().collect();
        Some(Wanted { rounds: rounds.map_or(3, |rounds| rounds.parse().unwrap()), works })
    }

    /// Whether a work is among what was asked for.
    pub fn includes(&self, work: &str) -> bool {
        self.is_everything() || self.works.iter().any(|wanted| wanted == work)
    }

    /// Whether no work was named.
    pub fn is_everything(&self) -> bool {
        self.works.is_empty()
    }
}
