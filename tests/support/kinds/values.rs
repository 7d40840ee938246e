//! The kinds themselves: each with values at its edges and an expression for a random one.
//!
//! Built-in types come first, then those of extensions, then users' own
//! (`tests/cases/postgres/types/setup.sql`). The expressions call the functions of `random.sql`.

use super::{Kind, kind};

/// As long as a name can be.
const NAME: &str = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn";

/// Every kind.
pub(super) const KINDS: &[Kind] = &[
    kind("bool", &["true", "false"], "random() < 0.5"),
    kind("int2", &["-32768", "32767", "0"], "pg_temp.whole(-32768, 32767)"),
    kind("int4", &["-2147483648", "2147483647", "0"], "pg_temp.whole(-2147483648, 2147483647)"),
    kind("int8", &["-9223372036854775808", "9223372036854775807"], "pg_temp.whole(-9e18, 9e18)"),
    kind(
        "float4",
        &["NaN", "Infinity", "-Infinity", "1e-45", "3.4028235e38", "0.1", "16777217"],
        "pg_temp.real(37)::float4",
    )
    .equal("-0", "0"),
    kind(
        "float8",
        &["NaN", "Infinity", "-Infinity", "5e-324", "1.7976931348623157e308", "0.1"],
        "pg_temp.real(300)",
    )
    .equal("0", "-0"),
    kind(
        "numeric",
        &["NaN", "0", "-0.000", "1e131071", "1e-16383", "123456789012345678901234567890.5"],
        "round(pg_temp.real(30)::numeric, pg_temp.whole(0, 20)::int)",
    )
    .equal("1", "1.000"),
    kind("numeric(10,3)", &["NaN", "-9999999.999", "0"], "pg_temp.whole(-9e9, 9e9) / 1000"),
    kind("numeric", &["Infinity", "-Infinity"], "'NaN'::numeric").since(14).named("infinite"),
    kind(
        "money",
        &["-92233720368547758.08", "92233720368547758.07", "0"],
        "(pg_temp.whole(-1e12, 1e12) / 100)::money",
    ),
    kind("text", &["", "NULL", r"\N", r"\.", "x\u{1}\u{7f}\u{80}"], "pg_temp.word(20)"),
    kind("varchar", &["", "  "], "pg_temp.word(20)"),
    kind("varchar(5)", &["", "     "], "left(pg_temp.word(9), 5)"),
    kind("char(5)", &["", "ab"], "left(pg_temp.word(9), 5)").equal("a", "a    "),
    kind("name", &["", "x", NAME], "left(pg_temp.word(20), 15)"),
    kind(r#""char""#, &["", "x", r"\", " "], "left(pg_temp.pick('a', '\\', '{', ' '), 1)"),
    kind("bytea", &[r"\x", r"\x00", r"\x5c", r"\xff0a0d09"], "pg_temp.bytes(40)"),
    kind(
        "json",
        &[r#"{"b" : 1,  "a":2, "a":3}"#, "null", r#""\u0000""#, "1.00", " [ ] "],
        "json_build_object(pg_temp.word(4), pg_temp.word(20), 'n', pg_temp.real(20))",
    )
    .keyless(),
    kind(
        "jsonb",
        &[r#"{"b" : 1,  "a":2, "a":3}"#, "null", "{}", r#""""#, "1e1000"],
        "jsonb_build_array(pg_temp.word(20), jsonb_build_object(pg_temp.word(4), pg_temp.real(9)))",
    )
    .equal(r#"{"a": 1.0}"#, r#"{"a": 1.00}"#),
    kind(
        "jsonpath",
        &["$", "strict $.a[*] ? (@ > 1)", r#"$."a b".**{2 to 5}"#],
        "('$.a[' || pg_temp.whole(0, 99) || ']')::jsonpath",
    )
    .keyless(),
    kind(
        "xml",
        &["", "<a/>", r#"<a b="c">d&amp;e</a>"#, "no element", "<!-- c --><a/><b/>"],
        "xmlelement(name e, xmlattributes(translate(pg_temp.word(9), E'\\r', '') AS a), \
         translate(pg_temp.word(20), E'\\r', ''))",
    )
    .keyless(),
    kind("uuid", &["00000000-0000-0000-0000-000000000000"], "md5(random()::text)::uuid"),
    kind(
        "date",
        &["infinity", "-infinity", "4714-11-24 BC", "5874897-12-31", "0001-12-31 BC"],
        "date '2000-01-01' + pg_temp.whole(-900000, 900000)::int",
    ),
    kind(
        "time",
        &["00:00", "24:00", "23:59:59.999999"],
        "'24:00'::time - random() * '1 d'::interval",
    ),
    kind("time(2)", &["23:59:59.99"], "('24:00'::time - random() * '1 d'::interval)::time(2)"),
    kind(
        "timetz",
        &["00:00+15:59", "24:00-15:59", "12:00:00.000001+00:00:01", "12:00 UTC"],
        "('24:00'::time - random() * '1 d'::interval)::timetz AT TIME ZONE '-07:30'",
    ),
    kind(
        "timestamp",
        &["infinity", "-infinity", "4714-11-24 00:00 BC", "294276-12-31 23:59:59.999999"],
        "timestamp '2000-01-01' + (random() - 0.5) * interval '5000 years'",
    ),
    kind(
        "timestamptz",
        &["infinity", "-infinity", "4714-11-24 00:00+00 BC", "294276-12-31 23:59:59.999999+00"],
        "timestamptz '2000-01-01' + (random() - 0.5) * interval '5000 years'",
    ),
    kind(
        "timestamptz(3)",
        &["1999-12-31 23:59:59.9999+00"],
        "now() - random() * interval '1 year'",
    ),
    kind(
        "interval",
        &[
            "0",
            // Each field at its end, but not all at once: from 17 on that is infinity.
            "178956970 years 7 mons 2147483647 days 2147483647:59:59.999999",
            "-178956970 years -8 mons -2147483648 days -2147483647:59:59.999999",
            "-1 year 2 days -00:00:00.000001",
        ],
        "make_interval(pg_temp.whole(-9, 9)::int, pg_temp.whole(-30, 30)::int, 0, \
         pg_temp.whole(-99, 99)::int, 0, 0, pg_temp.real(6))",
    )
    .equal("1 mon", "30 days"),
    kind("interval day to second(2)", &["1 day 00:00:00.12"], "random() * interval '9 days'"),
    kind("interval", &["infinity", "-infinity"], "interval '1 day'").since(17).named("infinite"),
    kind(
        "inet",
        &["0.0.0.0/0", "::", "::ffff:1.2.3.4/128", "10.0.0.1/8"],
        "'1.2.3.4'::inet + pg_temp.whole(0, 1e9)::int8",
    ),
    kind(
        "cidr",
        &["0.0.0.0/0", "2001:db8::/32"],
        "network(set_masklen('9.9.9.9'::inet, pg_temp.whole(0, 32)::int))",
    ),
    kind(
        "macaddr",
        &["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"],
        "left(md5(random()::text), 12)::macaddr",
    ),
    kind("macaddr8", &["ff:ff:ff:ff:ff:ff:ff:ff"], "left(md5(random()::text), 16)::macaddr8"),
    kind("bit(3)", &["000", "111"], "pg_temp.whole(0, 7)::int::bit(3)"),
    kind(
        "varbit",
        &["", "1"],
        "substring(pg_temp.whole(0, 9e8)::int::bit(30), pg_temp.whole(1, 30)::int)",
    ),
    kind("varbit(7)", &["1010101"], "pg_temp.whole(0, 7)::int::bit(3)"),
    kind("point", &["(NaN,Infinity)", "(-0,1e-300)"], "point(pg_temp.real(9), pg_temp.real(300))")
        .keyless(),
    kind(
        "line",
        &["{1,-1,0}", "{0,1,NaN}"],
        "line(point(0, pg_temp.real(3)), point(1, pg_temp.real(3)))",
    )
    .keyless(),
    kind("lseg", &["[(0,0),(1,1)]"], "lseg(point(0, pg_temp.real(9)), point(1, pg_temp.real(9)))")
        .keyless(),
    kind("box", &["((0,0),(1,1))"], "box(point(pg_temp.real(9), 0), point(pg_temp.real(9), 1))")
        .keyless(),
    kind(
        "path",
        &["[(0,0),(1,1)]", "((0,0),(1,1),(2,0))"],
        "popen(path(polygon(box(point(0, 0), point(random(), 1)))))",
    )
    .keyless(),
    kind(
        "polygon",
        &["((0,0),(1,1),(1,0))"],
        "polygon(box(point(pg_temp.real(9), 0), point(2, 1)))",
    )
    .keyless(),
    kind(
        "circle",
        &["<(0,0),0>", "<(1,2),Infinity>"],
        "circle(point(pg_temp.real(9), 0), random())",
    )
    .keyless(),
    kind(
        "tsvector",
        &["", "a:1A,16383B 'it''s':2", "plain"],
        "to_tsvector('simple', pg_temp.word(30) || ' ' || md5(random()::text))",
    ),
    kind(
        "tsquery",
        &["", "a & !b | 'it''s':*A", "a <2> (b | c)"],
        "plainto_tsquery('simple', 'x ' || md5(random()::text))",
    ),
    kind("pg_lsn", &["0/0", "FFFFFFFF/FFFFFFFF"], "'0/0'::pg_lsn + pg_temp.whole(0, 1e15)")
        .since(14),
    kind("pg_lsn", &["0/0", "FFFFFFFF/FFFFFFFF"], "'A/1'::pg_lsn").named("old"),
    kind("txid_snapshot", &["10:20:10,14,15"], "(pg_temp.whole(1, 9) || ':20:')::txid_snapshot")
        .keyless(),
    kind("pg_snapshot", &["10:20:10,14,15"], "(pg_temp.whole(1, 9) || ':20:')::pg_snapshot")
        .since(13)
        .keyless(),
    kind("xid", &["0", "4294967295"], "pg_temp.whole(0, 4e9)::text::xid").keyless(),
    kind("xid8", &["0", "18446744073709551615"], "pg_temp.whole(0, 9e15)::text::xid8").since(13),
    kind("cid", &["0", "4294967295"], "pg_temp.whole(0, 4e9)::text::cid").keyless(),
    kind("tid", &["(0,0)", "(4294967295,65535)"], "format('(%s,1)', pg_temp.whole(0, 4e9))::tid"),
    kind("oid", &["0", "4294967295"], "pg_temp.whole(0, 4e9)::int8::oid"),
    kind("oidvector", &["", "1 2 4294967295"], "(pg_temp.whole(0, 9) || ' 7')::oidvector"),
    kind("int2vector", &["", "1 -32768"], "(pg_temp.whole(0, 9) || ' 7')::int2vector"),
    kind("refcursor", &["", "<unnamed portal 1>"], "pg_temp.word(9)::refcursor").keyless(),
    kind("aclitem", &["postgres=r*w/postgres", "=r/postgres"], "'postgres=d/postgres'::aclitem")
        .keyless(),
    kind(
        "regclass",
        &["0", "pg_class", "row_of", "4000000000"],
        "pg_temp.pick('pg_type', 'row_of')::regclass",
    ),
    kind(
        "regtype",
        &["0", "int4", "mood", "pair[]", "ext.hstore"],
        "pg_temp.pick('text', 'span')::regtype",
    ),
    kind(
        "regproc",
        &["0", "pg_catalog.now", "ext.hstore_out"],
        "pg_temp.pick('clock_timestamp', 'ext.hstore_in')::regproc",
    ),
    kind(
        "regprocedure",
        &["0", "abs(int4)", "ext.hstore_out(ext.hstore)"],
        "'now()'::regprocedure",
    ),
    kind("regoper", &["0", "|/"], "'||/'::regoper"),
    kind("regoperator", &["0", "+(int4,int4)"], "'ext.->(ext.hstore,text)'::regoperator"),
    kind("regrole", &["-", "postgres"], "'pg_monitor'::regrole"),
    kind("regnamespace", &["-", "ext"], "'kinds'::regnamespace"),
    kind("regconfig", &["-", "english"], "'simple'::regconfig"),
    kind("regdictionary", &["-", "simple"], "'english_stem'::regdictionary"),
    kind("regcollation", &["-", "\"C\""], "'\"POSIX\"'::regcollation").since(13),
    kind(
        "int4range",
        &["empty", "(,)", "[1,)"],
        "int4range(pg_temp.whole(-9, 0)::int, pg_temp.whole(0, 9)::int, pg_temp.bounds())",
    ),
    kind(
        "int8range",
        &["empty", "(,5)"],
        "int8range(pg_temp.whole(-9e15, 0)::int8, NULL, pg_temp.bounds())",
    ),
    kind(
        "numrange",
        &["empty", "[1.0,1.00]"],
        "numrange(pg_temp.whole(-9, 0), random()::numeric, pg_temp.bounds())",
    ),
    kind(
        "daterange",
        &["empty", "[-infinity,infinity]"],
        "daterange(NULL, date '2000-01-01' + pg_temp.whole(0, 999)::int)",
    ),
    kind(
        "tsrange",
        &["empty", "[,infinity]"],
        "tsrange('-infinity', timestamp '2000-01-01' + random() * interval '1 d', \
         pg_temp.bounds())",
    ),
    kind(
        "tstzrange",
        &["empty", "(,)"],
        "tstzrange(now() - random() * interval '1 d', now(), pg_temp.bounds())",
    ),
    kind(
        "int4multirange",
        &["{}", "{(,1),[5,6),[9,)}"],
        "int4multirange(int4range(0, pg_temp.whole(0, 9)::int), int4range(20, \
         pg_temp.whole(20, 29)::int))",
    )
    .since(14),
    kind(
        "int8multirange",
        &["{}", "{(,)}"],
        "int8multirange(int8range(0, pg_temp.whole(0, 9e15)::int8))",
    )
    .since(14),
    kind("nummultirange", &["{}", "{[1.0,1.00]}"], "nummultirange(numrange(0, random()::numeric))")
        .since(14),
    kind(
        "datemultirange",
        &["{}", "{[-infinity,infinity]}"],
        "datemultirange(daterange('2000-01-01', NULL))",
    )
    .since(14),
    kind(
        "tsmultirange",
        &["{}"],
        "tsmultirange(tsrange('2000-01-01', timestamp '2001-01-01' + random() * interval '1 d'))",
    )
    .since(14),
    kind(
        "tstzmultirange",
        &["{}"],
        "tstzmultirange(tstzrange(now() - random() * interval '1 d', now()))",
    )
    .since(14),
    kind("information_schema.cardinal_number", &["0"], "pg_temp.whole(0, 99)"),
    kind("information_schema.character_data", &[""], "pg_temp.word(9)"),
    kind("information_schema.sql_identifier", &["x"], "md5(random()::text)"),
    kind("information_schema.time_stamp", &["infinity"], "now() - random() * interval '1 d'"),
    kind("information_schema.yes_or_no", &["YES", "NO"], "pg_temp.pick('YES', 'NO')"),
    kind("ext.citext", &["", "é"], "pg_temp.word(20)").equal("Abc", "aBC"),
    kind(
        "ext.hstore",
        &["", r#""a b"=>"v\"\\", c=>NULL"#],
        "ext.hstore(ARRAY['a', pg_temp.word(9)], ARRAY[pg_temp.word(9), NULL])",
    ),
    kind(
        "ext.ltree",
        &["", "a.b", "a.b.c_1"],
        "ext.text2ltree(pg_temp.pick('a', 'b.c') || pg_temp.whole(0, 99))",
    ),
    kind("ext.lquery", &["*", "a.*{1,2}.!b@|c*"], "('a.*.b' || pg_temp.whole(0, 99))::ext.lquery")
        .keyless(),
    kind(
        "ext.ltxtquery",
        &["a & !b*@", "a | (b & c)"],
        "('a & b' || pg_temp.whole(0, 99))::ext.ltxtquery",
    )
    .keyless(),
    kind(
        "ext.cube",
        &["()", "(1,2),(3,4)", "(Infinity,-0)"],
        "ext.cube(ARRAY[pg_temp.real(9), 1], ARRAY[2, pg_temp.real(300)])",
    ),
    kind(
        "ext.earth",
        &["(6378168, 0, 0)"],
        "pg_temp.pick('(0,6378168,0)', '(0,0,-6378168)')::ext.cube",
    ),
    kind(
        "ext.seg",
        &["1 .. 2", "~5.0", "<1e10", "1.00"],
        "(pg_temp.whole(0, 99) || ' .. ' || pg_temp.whole(100, 999))::ext.seg",
    ),
    kind("ext.query_int", &["1&2", "!(1|2)&3"], "(pg_temp.whole(0, 99) || '|7')::ext.query_int")
        .keyless(),
    kind(
        "ext.ean13",
        &["0000000000000", "4012345678901"],
        "('40' || lpad(pg_temp.whole(0, 1e9)::text, 10, '0') || '?')::ext.ean13",
    ),
    kind(
        "ext.isbn13",
        &["978-0-11-000533-1"],
        "('978' || lpad(pg_temp.whole(0, 999999999)::text, 9, '0') || '?')::ext.isbn13",
    ),
    kind(
        "ext.isbn",
        &["1-84356-028-3"],
        "('978' || lpad(pg_temp.whole(0, 999999999)::text, 9, '0') || '?')::ext.isbn",
    ),
    kind(
        "ext.ismn13",
        &["979-0-2600-0043-8"],
        "('9790' || lpad(pg_temp.whole(0, 99999999)::text, 8, '0') || '?')::ext.ismn13",
    ),
    kind(
        "ext.ismn",
        &["M-2600-0043-8"],
        "('9790' || lpad(pg_temp.whole(0, 99999999)::text, 8, '0') || '?')::ext.ismn",
    ),
    kind(
        "ext.issn13",
        &["977-1436-452-00-8"],
        "('977' || lpad(pg_temp.whole(0, 9999999)::text, 7, '0') || '00?')::ext.issn13",
    ),
    kind(
        "ext.issn",
        &["1436-4522"],
        "(lpad(pg_temp.whole(0, 9999999)::text, 7, '0') || '?')::ext.issn",
    ),
    kind(
        "ext.upc",
        &["220356483481"],
        "(lpad(pg_temp.whole(0, 9e10)::text, 11, '0') || '?')::ext.upc",
    ),
    kind("ext.lo", &["0", "4294967295"], "pg_temp.whole(0, 4e9)::int8::oid"),
    kind("mood", &["sad", "ok", r#"it's, {"fine"}\"#, "ö"], "pg_temp.pick('sad', 'ok')::mood"),
    kind(r#""Mixed Mood""#, &["So So", "so so"], r#"'So So'::"Mixed Mood""#),
    kind(
        "pair",
        &[r#"(1,"a,""b\\","{sad,NULL}")"#, "(,,)", r#"(,"",{})"#],
        "ROW(pg_temp.whole(-9, 9)::int, pg_temp.word(20), ARRAY['ö']::mood[])::pair",
    ),
    kind("shrunk", &["(1,ok)", "(,)"], "ROW(pg_temp.whole(-9, 9)::int, 'sad')::shrunk"),
    kind(
        "row_of",
        &[r#"(1,"(2,x,)")"#, "(,)"],
        "ROW(pg_temp.whole(-9, 9)::int, ROW(1, pg_temp.word(9), NULL)::pair)::row_of",
    ),
    kind(
        "nest",
        &[r#"("(1,,{ok})","[2:2]={""(1,x,)""}",1.50,"a=>""b""","[1,5)",abc)"#, "(,,,,,)"],
        "ROW(ROW(1, pg_temp.word(9), NULL)::pair, ARRAY[ROW(1, pg_temp.word(9), NULL), \
         NULL]::good_pair[], random()::numeric, 'a=>1'::ext.hstore, 'empty'::int4range, \
         left(pg_temp.word(9), 3))::nest",
    ),
    kind("positive", &["1", "2147483647"], "pg_temp.whole(1, 99)"),
    kind(
        "positives",
        &["{}", "[0:1]={1,NULL}", "{{1},{2}}"],
        "ARRAY[pg_temp.whole(1, 99), 2]::positive[]",
    ),
    kind("code", &["a", "É"], "'x' || pg_temp.word(9)").equal("Abc", "ABC"),
    kind("short", &["", "a  "], "left(pg_temp.word(9), 5)"),
    kind("shorter", &["", "é"], "left(pg_temp.word(9), 3)"),
    kind("good_mood", &["ok", "ö"], "'ok'::mood"),
    kind(
        "good_pair",
        &["(1,,)", r#"(2,"x y",{})"#],
        "ROW(pg_temp.whole(1, 9)::int, pg_temp.word(9), NULL)::pair",
    ),
    kind(
        "good_pairs",
        &["{}", r#"[5:6]={"(1,\"a,b\",{ok})",NULL}"#],
        "ARRAY[ROW(pg_temp.whole(1, 9)::int, pg_temp.word(9), NULL)]::good_pair[]",
    ),
    kind(
        "span",
        &["empty", "[NaN,NaN]", "(,-0]"],
        "span(random(), 1 + random(), pg_temp.bounds())",
    ),
    kind("mood_range", &["empty", "[sad,ö]"], "mood_range('sad', 'ok', pg_temp.bounds())"),
    kind(
        "text_range",
        &["empty", r#"["","é,\"")"#],
        "text_range('', 'x' || pg_temp.word(9), pg_temp.bounds())",
    ),
    kind(
        "pair_range",
        &["empty", r#"["(1,\"a,b\",)",)"#],
        "pair_range(ROW(1, pg_temp.word(9), NULL)::pair, NULL)",
    ),
    kind("some_span", &["[1,2]"], "span(random(), 1 + random(), '[]')"),
    kind(
        "span_multirange",
        &["{}", "{[1,2),[3,4]}"],
        "span_multirange(span(random(), 1 + random()))",
    )
    .since(14),
    kind("mood_multirange", &["{}", "{[sad,ok]}"], "mood_multirange(mood_range('sad', 'ö'))")
        .since(14),
    kind(
        "text_multirange",
        &["{}", r#"{["a,b","c\\\\d")}"#],
        "text_multirange(text_range('', 'x' || pg_temp.word(9)))",
    )
    .since(14),
    kind(
        "pair_multirange",
        &["{}"],
        "pair_multirange(pair_range(ROW(1, pg_temp.word(9), NULL)::pair, NULL))",
    )
    .since(14),
    kind(
        "int_spans",
        &["{}", "{(,1),[5,6)}"],
        "int4multirange(int4range(0, pg_temp.whole(0, 9)::int))",
    )
    .since(14),
    kind(
        "spans",
        &["(,,)", r#"("{[1,2)}","{""{[1,2]}"",NULL}",{})"#],
        "ROW('{}', ARRAY[span_multirange(span(0, random()))], NULL)::spans",
    )
    .since(14),
];
