import Testing

@testable import Tokenization

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

    @Test(arguments: [
        ("", "line 1, column 1: expected a value, found the end of the text."),
        ("{\n  \"a\": tru}", "line 2, column 8: expected a value, found 't'."),
        ("{\"a\":1,}", "line 1, column 8: expected a key in quotes, found '}'."),
        ("[1 2]", "line 1, column 4: expected ',' or ']', found '2'."),
        ("{\"a\" 1}", "line 1, column 6: expected ':', found '1'."),
        ("{\"a\":1,\"a\":2}", "line 1, column 8: expected every key once, found \"a\" again."),
        ("[01]", "line 1, column 3: expected ',' or ']', found '1'."),
        ("[1.]", "line 1, column 4: expected a digit, found ']'."),
        ("1e999", "line 1, column 1: expected a number within the range of a double, found 1e999."),
        ("9223372036854775808", "line 1, column 1: expected an integer of 64 bits, found 9223372036854775808."),
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
    ])
    func namesThePlaceOfAnError(text: String, message: String) {
        let error = #expect(throws: JSONValue.SyntaxError.self) { try JSONValue(parsing: text) }
        #expect(error?.description == message)
    }

    @Test func refusesBytesThatAreNoText() {
        #expect(throws: JSONValue.SyntaxError(line: 1, column: 1, expected: "text in UTF-8", found: "other bytes")) {
            try JSONValue(parsing: [0x22, 0xC3, 0x28, 0x22])
        }
    }

    /// As CPython 3.11 prints them.
    @Test(arguments: [
        (0.0, "0.0"), (-0.0, "-0.0"), (1.0, "1.0"), (100.0, "100.0"), (2.5, "2.5"), (-1234567.125, "-1234567.125"),
        (0.1, "0.1"),
        (0.0001, "0.0001"), (0.00012345, "0.00012345"), (1e-05, "1e-05"), (1.5e-05, "1.5e-05"),
        (.leastNonzeroMagnitude, "5e-324"),
        (1e15, "1000000000000000.0"), (1e16, "1e+16"), (9007199254740993.0, "9007199254740992.0"),
        (12345678901234567.0, "1.2345678901234568e+16"), (123456789012345680.0, "1.2345678901234568e+17"),
        (1e22, "1e+22"),
        (1e100, "1e+100"), (-1.7976931348623157e308, "-1.7976931348623157e+308"), (.infinity, "inf"),
        (-.infinity, "-inf"), (.nan, "nan"),
    ])
    func printsNumbersAsPython(value: Double, text: String) {
        #expect(value.pythonText == text)
    }

    @Test(arguments: [
        ("Be brief.", "'Be brief.'"), ("it's", "\"it's\""), ("\"it's\"", "'\"it\\'s\"'"), ("\"", "'\"'"),
        ("a\\b\n\r\t", "'a\\\\b\\n\\r\\t'"),
        ("\u{0}\u{7f}\u{a0}", "'\\x00\\x7f\\xa0'"), ("\u{200b}\u{2028}", "'\\u200b\\u2028'"),
        ("\u{e0001}", "'\\U000e0001'"), ("é東😀", "'é東😀'"),
    ])
    func printsStringsAsPython(text: String, printed: String) {
        #expect(
            JSONValue.array([.string(text), nil, true, false, 1]).pythonText == "[\(printed), None, True, False, 1]")
    }

    @Test func trimsAsPython() {
        #expect("\u{1c}\u{85}\u{a0}\u{2003}\r\n a\u{301} b\u{200b} \u{1f}".trimmed == "a\u{301} b\u{200b}")
        #expect(" \u{301}".trimmed.unicodeScalars.elementsEqual(["\u{301}"]))
        #expect(" \n ".trimmed == "")
    }

    @Test func sortsKeysWithoutCaseAndKeepsTheOrderOfEqualOnes() {
        let keys = ["b", "A", "a", "_", "B", "Z", "é", "É", "10", "9"]
        let sorted = keys.map { JSONValue.Member($0, nil) }.sortedByKey.map(\.key)
        #expect(sorted == ["10", "9", "_", "A", "a", "b", "B", "Z", "é", "É"])
    }
}
