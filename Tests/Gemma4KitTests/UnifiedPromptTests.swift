import Foundation
import TestSupport
import Testing
import Tokenization

@testable import Gemma4Kit

private func open(_ variant: String) throws -> Gemma4Pipeline {
    try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint(variant)))
}

/// Audio encoders were trained on at most 30 s; without an encoder, a recording is one piece, as in the published
/// processor.
@Test(arguments: [("12B", 1), ("E2B", 2)])
func onlyAnEncoderLimitsTheLengthOfARecording(variant: String, pieces: Int) async throws {
    let pipeline = try open(variant)
    let samples = (0..<31 * 16_000).map { 0.3 * sin(Float($0) * 0.05) }
    let prompt = try await pipeline.prompt(
        [ChatMessage(.user, parts: [.audio()])], media: [.audio(.samples(samples, sampleRate: 16_000))])
    let configuration = pipeline.model.configuration
    #expect(prompt.tokens.count { $0 == configuration.boaTokenId } == pieces)
    guard let audio = configuration.unifiedAudioConfig else { return }
    #expect(prompt.tokens.count { $0 == configuration.audioTokenId } == samples.count / audio.audioEmbedDim)
}

/// Speech without an encoder goes the same way: cut at pauses, every piece an answer.
@Test func transcribesWithoutAnEncoder() async throws {
    let samples = Sounds.speech(seconds: 12, hisses: false)
    let options = TranscriptionOptions(
        maxSegmentInSeconds: 5, generation: .init(sampling: .greedy, maxTokens: 2))
    let transcript = try await open("12B").transcribe(.samples(samples, sampleRate: 16_000), options: options)
        .transcript()
    #expect(transcript.segments.count >= 2)
    #expect(transcript.report.lost == 0 && transcript.report.heard > 5)
}

/// Soft tokens of a film go the way of pictures, and a picture that came before is not projected again.
@Test func picturesThatComeAgainAreKept() async throws {
    let pipeline = try open("12B")
    let picture = ImageInput.file(Goldens.folder.appending(path: "attachments/wide.png"))
    let soft = try await pipeline.softTokens(picture)
    #expect(try await pipeline.softTokens(picture).toArray() == soft.toArray())
    #expect(await pipeline.statistics.mediaHits == 1)
}
