import JSONText
import Testing

@testable import Tokenization

@Suite struct PythonTextTests {
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
