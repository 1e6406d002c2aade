import Synchronization
import Testing

@testable import Generation
@testable import Media
@testable import Transcription

/// A piece for the fake model, which is told its index by the first sample.
private func piece(_ index: Int, overlap: Int = 0, isCut: Bool = false) -> SpeechPiece {
    SpeechPiece(
        samples: [Float(index)], range: 0..<1, speech: 0..<1, stretches: [], overlap: overlap, isCutInSpeech: isCut,
        speechShare: 1)
}

/// A fake model that answers with these tokens, one by one.
private func speaker(_ answers: [[String]]) -> SpeechTokens {
    { samples, _, _ in
        let texts = answers[Int(samples[0])]
        return TokenStream { yield in
            for (index, text) in texts.enumerated() {
                yield(GeneratedToken(id: index, logprob: 0, topLogprobs: [], kind: .answer, text: text, finish: nil))
            }
        }
    }
}

private func turn(_ answers: [[String]], _ pieces: [SpeechPiece]) async throws -> (deltas: [String], text: String) {
    let deltas = Mutex<[String]>([])
    let transcriber = TurnTranscriber(.init(), speaker(answers)) { delta in deltas.withLock { $0.append(delta) } }
    for piece in pieces { try await transcriber.hear(piece) }
    let text = try await transcriber.finish()
    return (deltas.withLock { $0 }, text)
}

@Suite struct TurnTranscriberTests {
    /// Words come as the model writes them, and add up to the text.
    @Test func wordsComeOneByOne() async throws {
        let (deltas, text) = try await turn(
            [["we", " have", " rain\n", " today"], ["", " so", " ", " be", " it", " "]], [piece(0), piece(1)])
        #expect(deltas == ["we", " have", " rain", " today", " so", "  be", " it"])
        #expect(text == "we have rain today so  be it")
        // A combining mark after its character.
        let marked = try await turn([["e", "\u{301}", "x"]], [piece(0)])
        #expect(marked.deltas.joined() == marked.text)
    }

    /// The overlap of two pieces is written once, and written text is never revised.
    @Test func wordsOfTwoPiecesAreWrittenOnce() async throws {
        let (deltas, text) = try await turn(
            [["the quick brown", " fox jumps"], ["fox", " jumps over the dog"]],
            [piece(0, isCut: true), piece(1, overlap: 1)])
        #expect(text == "the quick brown fox jumps over the dog")
        #expect(deltas.joined() == text && deltas.count == 2)
    }

    /// A turn that ends at a cut piece contains all its words.
    @Test func theLastWordsAreNotForgotten() async throws {
        let (deltas, text) = try await turn([["one", " two"]], [piece(0, isCut: true)])
        #expect(deltas == ["one two"] && text == "one two")
        #expect(try await turn([], []).text == "")
    }
}
