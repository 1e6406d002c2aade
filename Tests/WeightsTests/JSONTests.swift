import Testing

@testable import Weights

struct JSONTests {
    private func parse(_ text: String) throws -> JSON { try JSON(parsing: Array(text.utf8)) }

    @Test func readsEveryKindOfValue() throws {
        let text =
            #" {"a": [1, -2, 0.5, 1e3, true, false, null], "b": {"c": "d\n\u00e9\ud83d\ude00\/"}, "": {}, "e": []} "#
        #expect(
            try parse(text)
                == .object([
                    "a": .array([
                        .integer(1), .integer(-2), .number(0.5), .number(1000), .boolean(true), .boolean(false), .null,
                    ]),
                    "b": .object(["c": .string("d\né😀/")]), "": .object([:]), "e": .array([]),
                ]))
    }

    /// Integers beyond 64 bits are numbers, so that they are refused where an integer is wanted, with their value shown.
    @Test func keepsHugeIntegersAsNumbers() throws {
        #expect(try parse("9223372036854775807") == .integer(.max))
        #expect(try parse("9223372036854775808") == .number(0x1p63))
    }

    @Test(arguments: [
        ("", 1, 1, "a value", "the end of the text"),
        ("{\"a\": 1,\n \"b\" 2}", 2, 6, "':'", "'2'"),
        ("{\"a\": 1,\n\n  \"a\": 2}", 3, 3, "every key once", "\"a\" again"),
        ("[1, 2", 1, 6, "',' or ']'", "the end of the text"),
        ("{\"a\": 1 \"b\"", 1, 9, "',' or '}'", "'\"'"),
        ("[01]", 1, 3, "',' or ']'", "'1'"),
        ("[1.]", 1, 4, "a digit", "']'"),
        ("[1e999]", 1, 2, "a number within the range of a double", "1e999"),
        ("[NaN]", 1, 2, "a value", "'N'"),
        ("[tru]", 1, 2, "a value", "'t'"),
        ("{\"a\": 1} x", 1, 10, "the end of the text", "'x'"),
        ("\"a\u{0}b\"", 1, 3, "'\"' at the end of a string", "byte 0x0"),
        (#""\x""#, 1, 3, "one of \" \\ / b f n r t u after '\\'", "'x'"),
        (#""\u12g4""#, 1, 4, "four hexadecimal digits", "'1'"),
        (#""\ud800""#, 1, 8, "the second half of a surrogate pair", "'\"'"),
        (#""\ud800\u0041""#, 1, 8, "the second half of a surrogate pair", "another character"),
        (#""\udc00""#, 1, 2, "a Unicode character", "half a surrogate pair"),
        ("{a: 1}", 1, 2, "a key in quotes", "'a'"),
    ])
    func namesLineAndColumn(text: String, line: Int, column: Int, expected: String, found: String) {
        #expect(throws: JSON.SyntaxError(line: line, column: column, expected: expected, found: found)) {
            try parse(text)
        }
    }

    @Test func refusesDeepNestingAndOtherEncodings() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: JSON.SyntaxError(line: 1, column: 66, expected: "at most 64 levels of nesting", found: "'['")) {
            try parse(deep)
        }
        #expect(throws: JSON.SyntaxError(line: 1, column: 1, expected: "text in UTF-8", found: "other bytes")) {
            try JSON(parsing: [0x22, 0xFF, 0x22])
        }
    }
}
