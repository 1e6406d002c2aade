import Testing

@testable import Transcription

@Suite struct SpeechInstructionTests {
    /// Google's words, quoted from the model card.
    @Test func wordsAreGoogles() throws {
        let format = """
            Follow these specific instructions for formatting the answer:
            * Only output the transcription, with no newlines.
            * When transcribing numbers, write the digits, i.e. write 1.7 and not one point seven, and write 3 instead of three.
            """
        let german = try #require(Language(code: "de"))
        let french = try #require(Language(code: "fr"))
        func text(_ options: TranscriptionOptions) -> String { SpeechInstruction(options).text }
        #expect(text(.init()) == "Transcribe the following speech segment in its original language. \(format)")
        #expect(
            text(.init(language: german))
                == "Transcribe the following speech segment in German into German text.\n\n\(format)")
        #expect(
            text(.init(language: french, translation: german)) == """
                Transcribe the following speech segment in French, then translate it into German.
                When formatting the answer, first output the transcription in French, then one newline, then output the string 'German: ', then the translation in German.
                """)
        #expect(text(.init(translation: german)).contains("in its original language, then translate it into German."))
        #expect(
            text(.init(hint: "Ngũgĩ, Łódź")).hasSuffix(
                "\n* These names and words may occur, spelt like this: Ngũgĩ, Łódź"))
        #expect(text(.init(hint: "a", instruction: "Only this.")) == "Only this.")
    }

    @Test(arguments: [
        ("Good morning\nGerman: Guten Morgen", "Good morning", "Guten Morgen"),
        ("Good morning\n\ngerman:Guten Morgen\n", "Good morning", "Guten Morgen"),
        ("Good\nmorning\nGERMAN: Guten\nMorgen", "Good morning", "Guten Morgen"),
        ("Guten Morgen", "Guten Morgen", "Guten Morgen"),
        ("German: Guten Morgen", "", "Guten Morgen"),
        ("", "", ""),
    ])
    func translationsAreTakenApart(answer: String, heard: String, translated: String) {
        let instruction = SpeechInstruction(.init(translation: Language(code: "de")))
        let parsed = instruction.parse(answer)
        #expect(parsed.heard == heard && parsed.translated == translated)
    }

    @Test func transcriptsAreOneLine() {
        let parsed = SpeechInstruction(.init()).parse(" one\n two \r\n\nthree ")
        #expect(parsed.heard == "one two three" && parsed.translated == nil)
    }

    @Test func languagesAreKnownByTheirCodes() {
        #expect(Language(code: "pt-BR")?.name == "Portuguese (Brazil)")
        #expect(Language(code: "yue")?.name == "Cantonese")
        for code in ["", "xx", "german", "klingon", "d", "../de"] { #expect(Language(code: code) == nil, "\(code)") }
    }
}
