//! Five values of each type, from edge to edge, with their place in the type's order.

/// A type and values of it, as column of `things`.
pub(super) struct Sample {
    pub(super) column: &'static str,
    /// As in a definition.
    pub(super) declared: &'static str,
    /// The type's name in a cursor.
    pub(super) kind: &'static str,
    pub(super) values: [SampleValue; 5],
}

/// One value.
pub(super) struct SampleValue {
    /// Its place in the order of its type; equal values have one place.
    pub(super) rank: u8,
    /// As a URL has it.
    pub(super) url: &'static str,
    /// As a body has it.
    pub(super) json: &'static str,
    /// As an answer has it.
    pub(super) wire: &'static str,
}

impl SampleValue {
    /// The value within a list of a URL: in quotes, as it may be empty or end in a space.
    pub(super) fn quoted(&self) -> String {
        format!("\"{}\"", self.url)
    }
}

const fn v(rank: u8, url: &'static str, json: &'static str) -> SampleValue {
    SampleValue { rank, url, json, wire: json }
}

/// One whose answer is written otherwise.
const fn w(rank: u8, url: &'static str, json: &'static str, wire: &'static str) -> SampleValue {
    SampleValue { rank, url, json, wire }
}

/// Every type that can be compared.
pub(super) const SAMPLES: &[Sample] = &[
    Sample {
        column: "c_bool",
        declared: "type = \"bool\"",
        kind: "bool",
        values: [
            v(0, "false", "false"),
            v(1, "true", "true"),
            v(0, "false", "false"),
            v(1, "true", "true"),
            v(1, "true", "true"),
        ],
    },
    Sample {
        column: "c_int",
        declared: "type = \"int\"",
        kind: "int",
        values: [
            v(0, "-9223372036854775808", "-9223372036854775808"),
            v(1, "-1", "-1"),
            w(2, "0", "-0", "0"),
            w(3, "10", "1e1", "10"),
            v(4, "9223372036854775807", "9223372036854775807"),
        ],
    },
    Sample {
        // Doubles would take some of these for one.
        column: "c_near",
        declared: "type = \"int\"",
        kind: "int",
        values: [
            v(0, "9007199254740991", "9007199254740991"),
            v(1, "9007199254740992", "9007199254740992"),
            v(2, "9007199254740993", "9007199254740993"),
            v(3, "9007199254740994", "9007199254740994"),
            v(4, "9007199254740995", "9007199254740995"),
        ],
    },
    Sample {
        column: "c_float",
        declared: "type = \"float\"",
        kind: "float",
        values: [
            w(0, "-1e300", "-1e300", "-1e300"),
            v(1, "-1.5", "-1.5"),
            w(2, "0", "-0.0", "0"),
            v(3, "0.1", "0.1"),
            v(4, "0.10000000000000002", "0.10000000000000002"),
        ],
    },
    Sample {
        column: "c_dec",
        declared: "type = \"decimal\", precision = 18, scale = 4",
        kind: "decimal(18,4)",
        values: [
            v(0, "-99999999999999.9999", "-99999999999999.9999"),
            v(1, "-0.0001", "-0.0001"),
            w(2, "0", "-0.00", "0.0000"),
            v(3, "0.0001", "0.0001"),
            v(4, "99999999999999.9999", "99999999999999.9999"),
        ],
    },
    Sample {
        // Equal numbers are written in several ways.
        column: "c_money",
        declared: "type = \"decimal\", precision = 9, scale = 2",
        kind: "decimal(9,2)",
        values: [
            w(0, "-1.5", "-1.5", "-1.50"),
            w(1, "1", "1", "1.00"),
            w(1, "1.0", "1.0", "1.00"),
            w(2, "1.5", "15e-1", "1.50"),
            v(3, "9999999.99", "9999999.99"),
        ],
    },
    Sample {
        column: "c_text",
        declared: "type = \"text\"",
        kind: "text",
        values: [
            v(0, "", "\"\""),
            v(1, "Zebra", "\"Zebra\""),
            v(2, "a", "\"a\""),
            v(3, "zebra", "\"zebra\""),
            v(4, "ähnlich", "\"ähnlich\""),
        ],
    },
    Sample {
        // UTF-16 would put the astral ones before.
        column: "c_astral",
        declared: "type = \"text\"",
        kind: "text",
        values: [
            v(0, "\u{e000}", "\"\u{e000}\""),
            v(1, "\u{fffd}", "\"\u{fffd}\""),
            v(2, "\u{1f600}", "\"\u{1f600}\""),
            v(3, "\u{1f600}a", "\"\u{1f600}a\""),
            v(4, "\u{10ffff}", "\"\u{10ffff}\""),
        ],
    },
    Sample {
        // Spaces at the end count.
        column: "c_space",
        declared: "type = \"text\"",
        kind: "text",
        values: [
            v(0, " a", "\" a\""),
            v(1, "a", "\"a\""),
            v(2, "a ", "\"a \""),
            v(3, "a  ", "\"a  \""),
            v(4, "a!", "\"a!\""),
        ],
    },
    Sample {
        // Neither case nor accents nor composition are passed over.
        column: "c_accent",
        declared: "type = \"text\"",
        kind: "text",
        values: [
            v(0, "E", "\"E\""),
            v(1, "e", "\"e\""),
            v(2, "e\u{301}", "\"e\u{301}\""),
            v(3, "\u{e9}", "\"\u{e9}\""),
            w(4, "\u{131}", "\"\\u0131\"", "\"\u{131}\""),
        ],
    },
    Sample {
        column: "c_enum",
        declared: "type = \"enum\", values = [\"e\", \"d\", \"c\", \"b\", \"a\"]",
        kind: "text",
        values: [v(0, "a", "\"a\""), v(1, "b", "\"b\""), v(2, "c", "\"c\""), v(3, "d", "\"d\""), v(4, "e", "\"e\"")],
    },
    Sample {
        column: "c_uuid",
        declared: "type = \"uuid\"",
        kind: "uuid",
        values: [
            v(0, "00000000-0000-0000-0000-000000000000", "\"00000000-0000-0000-0000-000000000000\""),
            v(1, "00000000-0000-0000-0000-000000000001", "\"00000000-0000-0000-0000-000000000001\""),
            v(2, "0190b3f0-0000-7000-8000-000000000001", "\"0190b3f0-0000-7000-8000-000000000001\""),
            w(
                3,
                "80000000-0000-0000-0000-00000000000a",
                "\"80000000-0000-0000-0000-00000000000A\"",
                "\"80000000-0000-0000-0000-00000000000a\"",
            ),
            v(4, "ffffffff-ffff-ffff-ffff-ffffffffffff", "\"ffffffff-ffff-ffff-ffff-ffffffffffff\""),
        ],
    },
    Sample {
        column: "c_time_stamp",
        declared: "type = \"timestamp\"",
        kind: "timestamp",
        values: [
            w(0, "0001-01-01T00:00:00Z", "\"0001-01-01T00:00:00Z\"", "\"0001-01-01T00:00:00+00:00\""),
            w(
                1,
                "1969-12-31T23:59:59.999999Z",
                "\"1969-12-31T23:59:59.999999Z\"",
                "\"1969-12-31T23:59:59.999999+00:00\"",
            ),
            w(2, "2024-02-29T22:30:00Z", "\"2024-03-01T00:00:00+01:30\"", "\"2024-02-29T22:30:00+00:00\""),
            w(2, "2024-02-29T17:30:00-05:00", "\"2024-02-29T22:30:00Z\"", "\"2024-02-29T22:30:00+00:00\""),
            w(
                3,
                "9999-12-31T23:59:59.999999Z",
                "\"9999-12-31T23:59:59.999999Z\"",
                "\"9999-12-31T23:59:59.999999+00:00\"",
            ),
        ],
    },
    Sample {
        column: "c_date",
        declared: "type = \"date\"",
        kind: "date",
        values: [
            v(0, "0001-01-01", "\"0001-01-01\""),
            v(1, "1969-12-31", "\"1969-12-31\""),
            v(2, "1970-01-01", "\"1970-01-01\""),
            v(3, "2024-02-29", "\"2024-02-29\""),
            v(4, "9999-12-31", "\"9999-12-31\""),
        ],
    },
    Sample {
        column: "c_time",
        declared: "type = \"time\"",
        kind: "time",
        values: [
            v(0, "00:00:00", "\"00:00:00\""),
            v(1, "00:00:00.000001", "\"00:00:00.000001\""),
            w(2, "12:00", "\"12:00\"", "\"12:00:00\""),
            w(3, "12:00:00.5", "\"12:00:00.500\"", "\"12:00:00.5\""),
            v(4, "23:59:59.999999", "\"23:59:59.999999\""),
        ],
    },
    Sample {
        column: "c_bytes",
        declared: "type = \"bytes\"",
        kind: "bytes",
        values: [
            v(0, "", "\"\""),
            v(1, "AA==", "\"AA==\""),
            v(2, "AAA=", "\"AAA=\""),
            v(3, "AAE=", "\"AAE=\""),
            v(4, "/w==", "\"/w==\""),
        ],
    },
    Sample {
        column: "c_email",
        declared: "type = \"email\"",
        kind: "text",
        values: [
            v(0, "A@b.example", "\"A@b.example\""),
            v(1, "a@b.example", "\"a@b.example\""),
            v(2, "a@c.example", "\"a@c.example\""),
            v(3, "b@b.example", "\"b@b.example\""),
            v(4, "c@b.example", "\"c@b.example\""),
        ],
    },
    Sample {
        column: "c_url",
        declared: "type = \"url\"",
        kind: "text",
        values: [
            v(0, "http://a.example/", "\"http://a.example/\""),
            v(1, "https://a.example/%20?q=1", "\"https://a.example/%20?q=1\""),
            v(2, "https://b.example", "\"https://b.example\""),
            v(3, "https://b.example/", "\"https://b.example/\""),
            v(4, "https://b.example/#x", "\"https://b.example/#x\""),
        ],
    },
];
