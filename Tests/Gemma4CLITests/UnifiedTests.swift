import Foundation
import TestSupport
import Testing

/// The 12B, which has no towers, through the commands that read media.
@Test(arguments: [
    ["caption", "attachments/wide.png", "--max-tokens", "3"],
    ["transcribe", "media/speech.wav", "--max-tokens", "3"],
    ["translate", "media/speech.wav", "--to", "de", "--max-tokens", "3"],
    ["generate", "What?", "--image", "attachments/tall.png", "--audio", "attachments/tone.wav", "--max-tokens", "3"],
    ["score", "--text", "one two"],
])
func commandsTakeAModelWithoutTowers(arguments: [String]) async throws {
    var program = Program("\(arguments[0])", "--model", Goldens.checkpoint("12B"))
    program.arguments += arguments.dropFirst()
    let outcome = try await program.run()
    #expect(outcome.status == 0 && !outcome.text.isEmpty, "\(outcome.messages)")
}

/// Both exported files, reopened: answers about an image and a recording.
@Test func aModelWithoutTowersIsQuantized() async throws {
    let directory = try TemporaryDirectory()
    let file = "\(directory.path)/12B.gguf"
    let written = try await Program("quantize", Goldens.checkpoint("12B"), "-o", file, "--type", "bf16").run()
    #expect(written.status == 0, "\(written.messages)")
    let answers = try await [Goldens.checkpoint("12B"), file].asyncMap { model in
        try await Program(
            "generate", "--model", model, "--messages", "12B/messages/image-audio.json", "--temperature", "0",
            "--max-tokens", "6", "--image-tokens", "70"
        ).run().text
    }
    #expect(answers[0] == answers[1] && !answers[0].isEmpty)
}

extension Sequence {
    fileprivate func asyncMap<Result>(_ body: (Element) async throws -> Result) async rethrows -> [Result] {
        var results: [Result] = []
        for element in self { results.append(try await body(element)) }
        return results
    }
}
