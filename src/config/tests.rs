//! Settings from all three places, and everything that can be wrong with them.

use super::*;

fn toml(text: &str) -> RawConfig {
    RawConfig::from_toml(text, Path::new("dunlin.toml")).unwrap()
}

const SERVERS: &str = "source = 'postgres://a/x'\ntarget = 'postgres://b/x'\n";

#[test]
fn defaults_hold_where_nothing_is_written() {
    let config = Config::try_from(toml(SERVERS)).unwrap();
    assert_eq!(config.name(), "dunlin");
    assert_eq!(config.chunk_size(), 128 << 20);
    assert_eq!(config.group_size(), 8 << 20);
    assert_eq!(config.queue_size(), 16 << 20);
    assert_eq!(config.retained_wal_warn(), Some(10 << 30));
    assert_eq!(config.retained_wal_halt(), None);
    assert_eq!(config.snapshot_hold(), Duration::from_secs(1800));
    assert!((1..=4).contains(&config.workers()));
    assert_eq!(config.max_connections(), config.workers() + 4);
    assert!(!config.privileges());
}

#[test]
fn every_problem_is_reported_together_with_key_value_and_remedy() {
    let mut flags = RawConfig::default();
    flags.set(keys::WORKERS, vec!["0".to_owned()], Origin::Flag);
    let environment =
        RawConfig::from_environment(|name| (name == "DUNLIN_RETRY_FOR").then(|| "soon".to_owned()));
    let file = toml(
        "chunksize = '1MiB'\nchunk-size = '12Q'\nname = 'My App'\ninclude = ['a[']\n\
         exclude = 3\nprivileges = 'yes'\ntarget = 'postgres://u:hunter2@h/x'",
    );
    let Err(error) = Config::try_from(flags.over(environment).over(file)) else {
        panic!("accepted");
    };
    insta::assert_snapshot!(error, @r#"
    9 settings are wrong:
      chunksize (dunlin.toml): there is no such key; did you mean chunk-size?
      exclude (dunlin.toml): must be a list of texts, such as ["public.*"]
      source: is needed: --source postgres://user@host/database, DUNLIN_SOURCE or a line in dunlin.toml
      name = "My App" (dunlin.toml): must be 1 to 40 of a-z, 0-9 and _
      include = "a[" (dunlin.toml): is not a glob: error parsing glob 'a[': unclosed character class; missing ']'
      workers = "0" (--workers): must be a whole number from 1 to 10000
      chunk-size = "12Q" (dunlin.toml): must be a size such as 512KiB, 128MiB or 2GiB
      privileges = "yes" (dunlin.toml): must be one of false, true
      retry-for = "soon" (DUNLIN_RETRY_FOR): must be a duration such as 90s, 10m or 2h
    "#);
}

#[test]
fn connections_limit_the_workers() {
    let config =
        Config::try_from(toml(&format!("{SERVERS}workers = 8\nmax-connections = 6"))).unwrap();
    assert_eq!((config.workers(), config.max_connections()), (2, 6));
    assert!(Config::try_from(toml(&format!("{SERVERS}max-connections = 4"))).is_err());
}

#[test]
fn a_queue_smaller_than_a_group_is_refused() {
    let text = format!("{SERVERS}queue-size = '1MiB'");
    let Err(error) = Config::try_from(toml(&text)) else {
        panic!("accepted");
    };
    assert!(error.to_string().contains("queue-size"));
}

#[test]
fn status_needs_only_the_target() {
    let state = StateConfig::try_from(toml("target = 'postgres://b/x'")).unwrap();
    assert_eq!((state.source(), state.target()), (None, "postgres://b/x"));
}

#[test]
fn the_template_parses_as_it_is_and_equals_the_defaults_when_uncommented() {
    assert!(format!("{:?}", toml(&template())) == "{}");
    let uncommented: String = template()
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| {
            line.split_once(" = ").is_some_and(|(key, _)| keys::Key::named(key).is_some())
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let written = toml(&uncommented);
    let silent = RawConfig::default();
    for key in keys::KEYS {
        assert!(written.origin(key).is_some(), "{} is missing from the template", key.name);
        if !key.default.is_empty() || key.kind == keys::Kind::List {
            assert_eq!(written.values(key), silent.values(key), "{}", key.name);
        }
    }
    Config::try_from(written).unwrap();
}

#[test]
fn a_missing_file_is_an_error_only_when_it_was_named() {
    let missing = Path::new("/nonexistent/dunlin.toml");
    let named = gather(RawConfig::default(), |_| None, Some(missing));
    assert!(matches!(named, Err(ConfigError::Unreadable { .. })));
}

#[test]
fn until_reads_its_three_forms() {
    assert_eq!("snapshot".parse(), Ok(Until::Snapshot));
    assert_eq!("caught-up".parse(), Ok(Until::CaughtUp));
    let position = Position::Postgres(crate::model::Lsn(0x0000_0001_0000_00FF));
    assert_eq!("1/FF".parse(), Ok(Until::Position(position)));
    assert!("later".parse::<Until>().is_err());
}
