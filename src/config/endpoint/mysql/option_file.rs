//! An option file of MySQL's and MariaDB's programs, `~/.my.cnf` by default.
//!
//! In: the file's text. Out: the options of its `[client]` group. Whether they mean anything is not
//! known here; those of other groups are not ours. No line is ever printed: a password may be in
//! it. Source of the grammar: the MySQL manual, "Using Option Files".

use super::EndpointError;
use std::collections::BTreeMap;
use std::path::Path;

/// Options by name, in the form with dashes. An option without a value has the empty one.
pub(super) type Options = BTreeMap<String, String>;

/// Reads a file that has to be there.
pub(super) fn read(path: &Path, groups: &[&str]) -> Result<Options, EndpointError> {
    let named = || path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|source| EndpointError::OptionFile { path: named(), source })?;
    parse(&text, groups).map_err(|(line, problem)| EndpointError::OptionLine {
        path: named(),
        line,
        problem,
    })
}

/// A line's number, from 1, and what is wrong with it.
type Wrong = (usize, &'static str);

fn parse(text: &str, groups: &[&str]) -> Result<Options, Wrong> {
    let mut options = Options::new();
    let mut wanted = false;
    for (index, line) in text.lines().enumerate() {
        let wrong = |problem| (index + 1, problem);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with('!') {
            return Err(wrong("!include and !includedir are not followed"));
        }
        if let Some(group) = line.strip_prefix('[') {
            let (group, _) =
                group.split_once(']').ok_or(wrong("a group has no closing bracket"))?;
            wanted = groups.contains(&group.trim());
            continue;
        }
        if wanted {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            let name = name.trim().trim_start_matches("loose-").replace('_', "-");
            options.insert(name, read_value(value.trim()));
        }
    }
    Ok(options)
}

/// A value in either kind of quotes or bare, where ` #` begins a comment. Backslash sequences
/// stand for the same characters inside and outside of quotes; others stay as they are.
fn read_value(text: &str) -> String {
    let quote = text.chars().next().filter(|first| matches!(first, '\'' | '"'));
    let body = match quote {
        Some(_) => &text[1..],
        None => text,
    };
    let mut value = String::new();
    let mut characters = body.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('b') => value.push('\u{8}'),
                Some('t') => value.push('\t'),
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('s') => value.push(' '),
                Some(escaped @ ('\\' | '"' | '\'')) => value.push(escaped),
                Some(other) => value.extend(['\\', other]),
                None => value.push('\\'),
            },
            character if Some(character) == quote => return value,
            '#' if quote.is_none() => break,
            character => value.push(character),
        }
    }
    match quote {
        Some(_) => value,
        None => value.trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        parse(text, &["client", "client-mariadb"]).unwrap().into_iter().collect()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_the_groups_of_clients_count() {
        let text = "user=none\n[mysqld]\nuser=server\n[client]\n# user=no\n user = me\n\
                    [mysqldump]\nuser=dump\n[client-mariadb]\nssl_ca=/ca\nskip-ssl\n";
        assert_eq!(parsed(text), owned(&[("skip-ssl", ""), ("ssl-ca", "/ca"), ("user", "me")]));
    }

    #[test]
    fn values_may_be_quoted_and_escaped() {
        let value = |text| read_value(text);
        assert_eq!(value("pass word # comment"), "pass word");
        assert_eq!(value("\"pass # word\" # comment"), "pass # word");
        assert_eq!(value("'a\"b'"), "a\"b");
        assert_eq!(value(r"a\sb\\c\qd"), r"a b\c\qd");
        assert_eq!(value(""), "");
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_by_its_number() {
        assert_eq!(parse("\n[client\n", &["client"]).unwrap_err().0, 2);
        assert_eq!(parse("[client]\n!include /etc/my.cnf\n", &["client"]).unwrap_err().0, 2);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/no/such/my.cnf"), &["client"]).unwrap_err();
        assert_eq!(error.to_string(), "read the option file /no/such/my.cnf");
    }
}
