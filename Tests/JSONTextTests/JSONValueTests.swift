import Testing

@testable import JSONText

@Suite struct JSONValueTests {
    @Test func readsEveryKindAndKeepsTheOrderOfKeys() throws {
        let text =
            #" {"b": [1, -2.5e3, 1.0, true, false, null], "a": "x\"\\\/\b\f\n\r\té😀\u00e9\uD83D\ude00", "c": {}} "#
        let value = try JSONValue(parsing: text)
        #expect(
            value
                == .object([
                    .init("b", [1, -2500.0, 1.0, true, false, nil]),
                    .init("a", "x\"\\/\u{8}\u{c}\n\r\té😀é😀"),
                    .init("c", [:]),
                ]))
        #expect(try JSONValue(parsing: value.json) == value)
    }

    /// Identifiers of 64 bits without a sign, and longer ones, keep their digits.
    @Test func largeIntegersKeepTheirDigits() throws {
        let text = "[9223372036854775807, 9223372036854775808, -9223372036854775809, 123456789012345678901234567890]"
        let value = try JSONValue(parsing: text)
        #expect(
            value == [
                .integer(.max), .largeInteger("9223372036854775808"), .largeInteger("-9223372036854775809"),
                .largeInteger("123456789012345678901234567890"),
            ])
        #expect(value.json == text)
    }

    static let malformed = [
        ("", "line 1, column 1: expected a value, found the end of the text."),
        ("{\n  \"a\": tru}", "line 2, column 8: expected a value, found 't'."),
        ("{\"a\":1,}", "line 1, column 8: expected a key in quotes, found '}'."),
        ("[1 2]", "line 1, column 4: expected ',' or ']', found '2'."),
        ("{\"a\" 1}", "line 1, column 6: expected ':', found '1'."),
        ("{\"a\":1,\"a\":2}", "line 1, column 8: expected every key once, found \"a\" again."),
        ("[01]", "line 1, column 3: expected ',' or ']', found '1'."),
        ("[1.]", "line 1, column 4: expected a digit, found ']'."),
        ("1e999", "line 1, column 1: expected a number within the range of a double, found 1e999."),
        ("\"a", "line 1, column 3: expected '\"' at the end of a string, found the end of the text."),
        ("\"a\nb\"", "line 1, column 3: expected '\"' at the end of a string, found byte 0xA."),
        (#""\x""#, "line 1, column 3: expected one of \" \\ / b f n r t u after '\\', found 'x'."),
        (#""\u12g4""#, "line 1, column 4: expected four hexadecimal digits, found '1'."),
        (#""\ud800x""#, "line 1, column 8: expected the second half of a surrogate pair, found 'x'."),
        (#""\udc00""#, "line 1, column 3: expected a Unicode character, found half a surrogate pair."),
        ("[] []", "line 1, column 4: expected the end of the text, found '['."),
        ("NaN", "line 1, column 1: expected a value, found 'N'."),
        (
            String(repeating: "[", count: 100_000),
            "line 1, column 65: expected at most 64 levels of nesting, found '['."
        ),
    ]

    /// A tree takes fifty times the memory of its text; skipped values take none.
    @Test func aTreeHasAMostOfValues() throws {
        let most = JSONReader.valueLimit - 1  // and the array
        let text = "[" + String(repeating: "0,", count: most - 1) + "0"
        #expect(throws: Never.self) { try JSONValue(parsing: text + "]") }
        let error = #expect(throws: JSONValue.SyntaxError.self) { try JSONValue(parsing: text + ",0]") }
        #expect(error?.description == "line 1, column \(2 * most + 2): expected at most 1048576 values, found more.")
        var reader = JSONReader(Array((text + ",0]").utf8))
        try reader.skipValue()
        try reader.expectEnd()
    }

    @Test(arguments: malformed)
    func namesThePlaceOfAnError(text: String, message: String) {
        let error = #expect(throws: JSONValue.SyntaxError.self) { try JSONValue(parsing: text) }
        #expect(error?.description == message)
    }

    @Test func refusesBytesThatAreNoText() {
        #expect(throws: JSONValue.SyntaxError(line: 1, column: 1, expected: "text in UTF-8", found: "other bytes")) {
            try JSONValue(parsing: [0x22, 0xC3, 0x28, 0x22])
        }
    }

    /// Skipped values must be valid JSON too; only duplicate keys are not detected.
    @Test(arguments: malformed.filter { !$0.1.contains("every key once") })
    func skipsNothingMalformed(text: String, message: String) {
        var reader = JSONReader(Array(text.utf8))
        let error = #expect(throws: JSONValue.SyntaxError.self) {
            try reader.skipValue()
            try reader.expectEnd()
        }
        #expect(error?.description == message)
    }
}
