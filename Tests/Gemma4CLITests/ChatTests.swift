import Foundation
import TestSupport
import Testing

/// `gemma4 chat`: lines in, answers out, one conversation.
@Suite struct ChatTests {
    private func chat(_ lines: String...) async throws -> Program.Outcome {
        try await Program(
            "chat", "--model", "E2B/checkpoint", "--temperature", "0", "--max-tokens", "6",
            input: Data(lines.map { "\($0)\n" }.joined().utf8)
        ).run()
    }

    @Test func answersEachLineAndRemembers() async throws {
        let both = try await chat("one", "", "two")
        let first = try await chat("one")
        let alone = try await chat("two")
        #expect(both.status == 0 && both.messages.isEmpty)
        #expect(both.text.hasPrefix(first.text))
        #expect(both.text != first.text + alone.text)  // the second line is answered in the light of the first
    }

    @Test func takesPicturesAndRecordings() async throws {
        let seen = try await chat("/image attachments/wide.png", "What is this?")
        let heard = try await chat("/audio attachments/chirp.wav", "What is this?")
        let blind = try await chat("What is this?")
        let generated = try await Program(
            "generate", "--model", "E2B/checkpoint", "--temperature", "0", "--max-tokens", "6", "--image",
            "attachments/wide.png",
            "What is this?"
        ).run()
        #expect(seen.text == generated.text)
        #expect(seen.text != blind.text && heard.text != blind.text)
    }

    @Test func aTurnThatFailsIsReportedAndForgotten() async throws {
        let outcome = try await chat("/image nowhere.png", "What is this?", "one")
        #expect(outcome.status == 0)
        #expect(outcome.messages.contains("nowhere.png: expected a readable file, found no such file"))
        #expect(outcome.text == (try await chat("one")).text)
    }
}
