import Testing

@testable import Media

@Suite struct DisplayedTextTests {
    @Test(arguments: [
        ("käse 東京.wav", "käse 東京.wav"), ("a\u{1B}[31m\n\u{0}b", #"a\x1B[31m\x0A\x00b"#),
        ("\r\n\u{7F}", #"\x0D\x0A\x7F"#),
        ("\u{9B}2J", #"\xC2\x9B2J"#), (#"a\x1B"#, #"a\x1B"#),
    ])
    func controlCharactersAreEscaped(text: String, displayed: String) {
        #expect(text.displayed == displayed)
    }

    @Test func linesOfAMessageStay() {
        #expect("a:\n\tb\u{1B}\r".displayedLines == "a:\n\tb\\x1B\\x0D")
    }

    @Test func anErrorShowsItsSourceSo() {
        let error = MediaError(code: .empty, source: "a\n\u{7}.wav", expected: "sound", found: "none", remedy: "look")
        #expect(error.description == #"a\x0A\x07.wav: expected sound, found none; look."#)
        #expect(error.source == "a\n\u{7}.wav")
    }
}
