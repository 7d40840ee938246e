//! Every type that a column of MySQL or MariaDB can have, with a way to make random values.
//!
//! In: a release, and what is told of it. Out: families of kinds, each the words of a column's type and a maker of literals.
//! Whether the values are of their types is the server's word: a strict session takes them.

pub mod values;

use dunlin::demo::mysql::Release;
use rand::rngs::StdRng;

/// A type with all that belongs to it.
pub struct Kind {
    /// The words of the type.
    pub words: String,
    /// Whether a primary key may be of it.
    pub is_key: bool,
    random: Box<dyn Fn(&mut StdRng) -> String>,
}

/// Kinds that make up one table.
pub struct Family {
    /// What they have in common.
    pub name: &'static str,
    /// The kinds.
    pub kinds: Vec<Kind>,
}

impl Kind {
    fn new(words: impl Into<String>, random: impl Fn(&mut StdRng) -> String + 'static) -> Kind {
        Kind { words: words.into(), is_key: true, random: Box::new(random) }
    }

    fn keyless(mut self) -> Kind {
        self.is_key = false;
        self
    }

    /// A random value, as a literal.
    pub fn value(&self, rng: &mut StdRng) -> String {
        (self.random)(rng)
    }

    /// Whether it is an ENUM in which the index zero looks like no label.
    pub fn has_zero(&self) -> bool {
        self.words.starts_with("ENUM") && !self.words.contains("''")
    }
}

/// What rules the choice of kinds, since not everything arrives together (docs/mysql.md).
#[derive(Clone, Copy)]
pub struct Choice {
    /// What the servers are.
    pub release: Release,
    /// The log tells labels. Where it does not, those of an ENUM or a SET beyond ASCII are of UTF-8,
    /// and no character set without single bytes has any.
    pub log_has_labels: bool,
}

/// Every kind that the servers of a release have, but for a SET of a character set without single
/// bytes.
pub fn of(choice: Choice) -> Vec<Family> {
    let family = |name, kinds| Family { name, kinds };
    let mut families = vec![
        family("numbers", numbers()),
        family("bits", bits()),
        family("moments", moments(choice.release)),
        family("texts", texts(choice.release)),
        family("bytes", bytes()),
        family("members", members(choice.log_has_labels)),
        family("shapes", shapes()),
        family("others", others(choice.release)),
    ];
    if choice.release != Release::MARIADB_10_11 {
        let vector = Kind::new("VECTOR(5)", |rng| values::vector(rng, 5)).keyless();
        families.push(family("vectors", vec![vector]));
    }
    families
}

fn numbers() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (word, bits) in
        [("TINYINT", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("INT", 32), ("BIGINT", 64)]
    {
        kinds.push(Kind::new(word, move |rng| values::signed(rng, bits)));
        let words = format!("{word} UNSIGNED");
        kinds.push(Kind::new(words, move |rng| values::unsigned(rng, bits)));
    }
    kinds.push(Kind::new("INT(9) UNSIGNED ZEROFILL", |rng| values::unsigned(rng, 32)));
    kinds.push(Kind::new("BOOLEAN", |rng| values::signed(rng, 8)));
    for (digits, scale) in [(65, 30), (65, 0), (30, 30), (10, 0), (18, 9), (1, 1), (37, 5)] {
        let words = format!("DECIMAL({digits},{scale})");
        kinds.push(Kind::new(words, move |rng| values::decimal(rng, digits, scale, true)));
    }
    let unsigned = |rng: &mut StdRng| values::decimal(rng, 20, 7, false);
    kinds.push(Kind::new("DECIMAL(20,7) UNSIGNED", unsigned));
    kinds.push(Kind::new("FLOAT", values::float));
    kinds.push(Kind::new("DOUBLE", values::double));
    let positive = |text: String| text.trim_start_matches('-').to_owned();
    kinds.push(Kind::new("FLOAT UNSIGNED", move |rng| positive(values::float(rng))));
    kinds.push(Kind::new("DOUBLE UNSIGNED", move |rng| positive(values::double(rng))));
    kinds.push(Kind::new("FLOAT(7,2)", |rng| values::fixed(rng, 7, 2)));
    kinds.push(Kind::new("DOUBLE(10,3)", |rng| values::fixed(rng, 10, 3)));
    kinds.push(Kind::new("DOUBLE(15,9)", |rng| values::fixed(rng, 15, 9)));
    kinds
}

fn bits() -> Vec<Kind> {
    let kind =
        |bits: u32| Kind::new(format!("BIT({bits})"), move |rng| values::unsigned(rng, bits));
    let is_key = |bits| [1, 8, 33, 64].contains(&bits);
    (1..=64).map(|bits| if is_key(bits) { kind(bits) } else { kind(bits).keyless() }).collect()
}

/// MariaDB's timestamps go on for longer since 11.5.
fn moments(release: Release) -> Vec<Kind> {
    let last = if release == Release::MARIADB_11_8 { u32::MAX } else { i32::MAX as u32 };
    let mut kinds = vec![Kind::new("DATE", values::date), Kind::new("YEAR", values::year)];
    for scale in 0..=6 {
        kinds.push(Kind::new(format!("TIME({scale})"), move |rng| values::time(rng, scale)));
        kinds.push(Kind::new(format!("DATETIME({scale})"), move |rng| values::moment(rng, scale)));
        let random = move |rng: &mut StdRng| values::timestamp(rng, scale, last);
        kinds.push(Kind::new(format!("TIMESTAMP({scale})"), random));
    }
    kinds
}

/// In character sets of one byte, of two, where a backslash may be the second, and of four.
fn texts(release: Release) -> Vec<Kind> {
    let mut charsets = vec!["latin1", "utf8mb4", "utf8mb3", "utf16", "utf16le", "utf32", "gbk"];
    charsets.extend(["big5", "sjis", "koi8r", "cp1251", "ucs2", "dec8"]);
    if !release.is_mariadb() {
        charsets.push("gb18030");
    }
    let mut kinds = Vec::new();
    for charset in charsets {
        for (word, most) in [("CHAR(5)", 5), ("VARCHAR(20)", 20)] {
            let words = format!("{word} CHARACTER SET {charset}");
            kinds.push(Kind::new(words, move |rng| values::text(rng, charset, most)));
        }
        let words = format!("TEXT CHARACTER SET {charset}");
        let random = move |rng: &mut StdRng| values::text(rng, charset, 5000);
        kinds.push(Kind::new(words, random).keyless());
    }
    for (word, most) in [("TINYTEXT", 60), ("MEDIUMTEXT", 9000), ("LONGTEXT", 30_000)] {
        let words = format!("{word} CHARACTER SET utf8mb4");
        kinds.push(Kind::new(words, move |rng| values::text(rng, "utf8mb4", most)).keyless());
    }
    let words = "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
    kinds.push(Kind::new(words, |rng| values::text(rng, "utf8mb4", 20)));
    kinds
}

fn bytes() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for most in [1, 8, 255] {
        for word in ["BINARY", "VARBINARY"] {
            kinds.push(Kind::new(format!("{word}({most})"), move |rng| values::bytes(rng, most)));
        }
    }
    for (word, most) in
        [("TINYBLOB", 255), ("BLOB", 60_000), ("MEDIUMBLOB", 90_000), ("LONGBLOB", 90_000)]
    {
        kinds.push(Kind::new(word, move |rng| values::bytes(rng, most)).keyless());
    }
    kinds.push(Kind::new("VARBINARY(300)", |rng| values::bytes(rng, 300)));
    kinds
}

/// Labels, by their numbers.
fn members(log_has_labels: bool) -> Vec<Kind> {
    let labels = |count: u32, charset: &str| {
        let letter = if log_has_labels || charset.starts_with("utf8") { "ß" } else { "s" };
        let labels = (1..=count).map(|number| format!("'m {letter}{number}'"));
        let labels: Vec<String> = labels.collect();
        format!("({}) CHARACTER SET {charset}", labels.join(","))
    };
    let among = |count: u32| move |rng: &mut StdRng| (1 + values::below(rng, count)).to_string();
    let mut kinds = vec![Kind::new("ENUM('','a','ß','it''s')", among(4))];
    let wide = if log_has_labels { "utf16" } else { "latin1" };
    for (count, charset) in [(3, "latin1"), (255, "utf8mb4"), (256, "utf8mb4"), (300, wide)] {
        kinds.push(Kind::new(format!("ENUM{}", labels(count, charset)), among(count)));
    }
    for (count, charset) in [
        (1, "utf8mb4"),
        (8, "latin1"),
        (9, "cp1250"),
        (24, "utf8mb3"),
        (40, "latin2"),
        (64, "utf8mb4"),
    ] {
        let random = move |rng: &mut StdRng| values::unsigned(rng, count);
        kinds.push(Kind::new(format!("SET{}", labels(count, charset)), random));
    }
    kinds
}

fn shapes() -> Vec<Kind> {
    let words = [
        "GEOMETRY",
        "POINT",
        "LINESTRING",
        "POLYGON",
        "MULTIPOINT",
        "MULTILINESTRING",
        "MULTIPOLYGON",
        "GEOMETRYCOLLECTION",
    ];
    let any = |rng: &mut StdRng| {
        let shape = 1 + values::below(rng, 7);
        values::geometry(rng, shape)
    };
    let kind = |(shape, words): (u32, &str)| match shape {
        0 => Kind::new(words, any).keyless(),
        _ => Kind::new(words, move |rng| values::geometry(rng, shape)).keyless(),
    };
    (0..).zip(words).map(kind).collect()
}

/// Documents, and what one flavour or series has.
fn others(release: Release) -> Vec<Kind> {
    let mut kinds = vec![Kind::new("JSON", values::document).keyless()];
    if release.is_mariadb() {
        kinds.push(Kind::new("UUID", values::uuid));
        kinds.push(Kind::new("INET4", values::inet4));
        kinds.push(Kind::new("INET6", values::inet6));
        let text = |rng: &mut StdRng| values::text(rng, "utf8mb4", 400);
        kinds.push(Kind::new("VARCHAR(400) COMPRESSED", text).keyless());
        kinds.push(Kind::new("MEDIUMTEXT COMPRESSED", text).keyless());
        let bytes = |rng: &mut StdRng| values::bytes(rng, 60_000);
        kinds.push(Kind::new("BLOB COMPRESSED", bytes).keyless());
        kinds.push(Kind::new("DECIMAL(65,38)", |rng| values::decimal(rng, 65, 38, true)));
    }
    kinds
}
