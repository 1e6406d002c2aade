import Foundation
import TestSupport
import Testing

@testable import Gemma4Kit

private func pipeline(_ variant: String = "E2B", threadCount: Int? = nil) throws -> Gemma4Pipeline {
    try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint(variant)), threadCount: threadCount)
}

private func attachment(_ name: String) -> URL { Goldens.folder.appending(path: "attachments/\(name)") }

/// A later turn reads only what is new, and answers as if the whole conversation had been read afresh.
@Test(arguments: Goldens.variants)
func turnsContinueWhatWasRead(variant: String) async throws {
    let pipeline = try pipeline(variant)
    let conversation = pipeline.conversation(system: "Be brief.")
    let options = GenerationOptions(maxTokens: 6)
    _ = try await conversation.respond(to: "What is this?", images: [.file(attachment("wide.png"))], options: options)
        .answer()
    let second = try await conversation.respond(to: "And now?", options: options).answer()
    let messages = await conversation.messages
    #expect(messages.map(\.role) == [.system, .user, .assistant, .user, .assistant])
    let fresh = try await pipeline.generate(
        Array(messages.dropLast()), media: [.image(.file(attachment("wide.png")))], options: options
    ).answer()
    #expect(second.tokens == fresh.tokens)
    #expect(second.finish!.statistics.promptTokens <= fresh.finish!.statistics.promptTokens)
}

@Test func manyConversationsShareOneModel() async throws {
    let pipeline = try pipeline()
    let options = GenerationOptions(maxTokens: 8)
    let alone = try await pipeline.generate([ChatMessage(.user, "one")], options: options).answer().tokens
    try await withThrowingTaskGroup(of: [Int].self) { group in
        for _ in 0..<6 {
            group.addTask { try await pipeline.generate([ChatMessage(.user, "one")], options: options).answer().tokens }
        }
        for try await tokens in group { #expect(tokens == alone) }
    }
}

/// Ending the iteration stops the work: the stream's task notices at its next token.
@Test func cancellationEndsAnAnswer() async throws {
    let pipeline = try pipeline()
    let task = Task {
        var count = 0
        for try await _ in pipeline.generate(
            [ChatMessage(.user, "one")], options: .init(sampling: .init(temperature: 1, seed: 1), maxTokens: 100_000))
        {
            count += 1
        }
        return count
    }
    try await Task.sleep(for: .milliseconds(50))
    task.cancel()
    let result = await task.result
    // A cancelled iteration ends, with or without an error, long before its 100 000 tokens.
    if case .success(let count) = result { #expect(count < 100_000) }
}

/// Decoding on a warm conversation takes every buffer from the pool.
@Test func warmDecodingAllocatesNoBuffer() async throws {
    let pipeline = try pipeline(threadCount: 1)
    let sampling = SamplingOptions(temperature: 1, seed: 3)
    _ = try await pipeline.generate([ChatMessage(.user, "one")], options: .init(sampling: sampling, maxTokens: 12))
        .answer()
    let before = pipeline.model.device.buffersMade
    _ = try await pipeline.generate([ChatMessage(.user, "one")], options: .init(sampling: sampling, maxTokens: 12))
        .answer()
    #expect(pipeline.model.device.buffersMade == before)
}

@Test func whatCannotBecomeAPromptIsRefused() async throws {
    let e2b = try pipeline()
    let large = try pipeline("31B")
    func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "no error"
        } catch {
            return "\(error)"
        }
    }
    #expect(
        message { _ = try e2b.prompt([ChatMessage(.user, parts: [.video("nowhere.mp4")])]) }.contains("no such file"))
    #expect(
        message { _ = try e2b.prompt([ChatMessage(.user, parts: [.image()])]) }
            == "the messages name 1 pictures, recordings and films, 0 were given; give as many, in their order")
    #expect(
        message { _ = try e2b.prompt([ChatMessage(.user, parts: [.image("https://example.com/a.png")])]) }.contains(
            "not fetched"))
    #expect(
        message { _ = try e2b.prompt([ChatMessage(.user, parts: [.image("nowhere.png")])]) }.contains("no such file"))
    #expect(
        message { _ = try e2b.softTokens(.samples([Float](repeating: 0, count: 160), sampleRate: 16_000)) }.contains(
            "more than 160"))
    #expect(
        message { _ = try large.softTokens(.samples([Float](repeating: 0, count: 1600), sampleRate: 16_000)) }.contains(
            "no audio tower"))
    #expect(
        message {
            _ = try e2b.prompt([ChatMessage(.user, parts: [.audio()])], media: [.image(.file(attachment("wide.png")))])
        } == "medium 1: the message names a recording, something else was given")
}

/// A picture or recording may come as a file, its bytes, or pixels and samples.
@Test func mediaComeInEveryForm() throws {
    let pipeline = try pipeline()
    let image = attachment("wide.png")
    let sound = attachment("chirp.wav")
    let expected = try pipeline.softTokens(.file(image)).toArray()
    #expect(try pipeline.softTokens(.bytes(Data(contentsOf: image))).toArray() == expected)
    #expect(try pipeline.softTokens(.pixels(ImageReader().read(image))).toArray() == expected)
    let encoded = "data:image/png;base64," + (try Data(contentsOf: image)).base64EncodedString()
    #expect(try pipeline.prompt([ChatMessage(.user, parts: [.image(encoded)])]).softTokens!.toArray() == expected)
    let heard = try pipeline.softTokens(.file(sound)).map { $0.toArray() }
    #expect(try pipeline.softTokens(.bytes(Data(contentsOf: sound))).map { $0.toArray() } == heard)
    var reader = try AudioReader(sound)
    #expect(try pipeline.softTokens(.samples(reader.readAll(), sampleRate: 16_000)).map { $0.toArray() } == heard)
}
