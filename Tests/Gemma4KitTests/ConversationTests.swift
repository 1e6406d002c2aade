import Foundation
import Generation
import JSONText
import Media
import Synchronization
import TestSupport
import Testing
import Tokenization

@testable import Gemma4Kit

private func open(_ variant: String = "E2B", threadCount: Int? = nil) throws -> Gemma4Pipeline {
    try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint(variant)), threadCount: threadCount)
}

private func attachment(_ name: String) -> URL { Goldens.folder.appending(path: "attachments/\(name)") }

/// A later turn prefills only its new tokens, and answers as if the whole conversation had been prefilled.
///
/// Tiny nets generate token sequences that no tokenizer produces; the answers are forced, as text with a unique
/// tokenization.
@Test(arguments: Goldens.variants, [false, true])
func turnsReadOnlyTheirOwnTokens(variant: String, thinking: Bool) async throws {
    let pipeline = try open(variant)
    let prompt = PromptOptions(thinking: thinking)
    let conversation = pipeline.conversation(system: "Be brief.", prompt: prompt)
    let image = ImageInput.file(attachment("wide.png"))
    var options = GenerationOptions(sampling: .greedy, maxTokens: 30)
    options.forcedTokens = pipeline.tokenizer.encode("one two") + [pipeline.tokenizer.specialTokens["<turn|>"]!]
    let first = try await conversation.respond(to: "What is this?", images: [image], options: options)
    #expect(first.text == "one two" && first.finish?.reason == .stop)
    options.forcedTokens = []
    options.maxTokens = 6
    let second = try await conversation.respond(to: "And now?", options: options)
    let messages = conversation.messages
    #expect(messages.map(\.role) == [.system, .user, .assistant, .user, .assistant])

    let fresh = try await open(variant).generate(
        Array(messages.dropLast()), media: [.image(image)], prompt: prompt, options: options
    ).answer()
    #expect(second.tokens == fresh.tokens)
    expectClose(second.logprobs, fresh.logprobs, absolute: 2e-3)
    // The common prefix of both prompts: in some sizes the beginning of an answer is rendered differently in the
    // history.
    let read = first.finish!.promptTokens + first.tokens.dropLast()
    let common = zip(read, fresh.finish!.promptTokens).prefix { $0 == $1 }.count
    let statistics = second.finish!.statistics
    #expect(statistics.cachedTokens == common && common >= first.finish!.promptTokens.count - 8)
    #expect(statistics.promptTokens == fresh.finish!.promptTokens.count - common)
    #expect(statistics.promptTokens < fresh.finish!.statistics.promptTokens / 2)
}

/// The second turn continues from the generated ids, even if a tokenizer would encode the text differently.
@Test func turnsKeepTheTokensThatWereWritten() async throws {
    let pipeline = try open()
    let conversation = pipeline.conversation()
    var options = GenerationOptions(sampling: .greedy, maxTokens: 30)
    let letters = "one two".unicodeScalars.flatMap { pipeline.tokenizer.encode(String($0)) }
    #expect(letters != pipeline.tokenizer.encode("one two"))
    options.forcedTokens = letters + [pipeline.tokenizer.specialTokens["<turn|>"]!]
    let first = try await conversation.respond(to: "What?", options: options)
    options.forcedTokens = []
    let second = try await conversation.respond(to: "And?", options: options)
    #expect(second.finish!.statistics.cachedTokens == first.finish!.promptTokens.count + letters.count)
    #expect(second.finish!.promptTokens.starts(with: first.finish!.promptTokens + letters))
}

/// Images of equal size are distinguished: nothing of a cancelled turn is reused for the next.
@Test func aCancelledTurnLeavesNothingBehind() async throws {
    let pipeline = try open()
    func flat(_ k: Int) throws -> ImageInput {
        .pixels(try Pixels(width: 96, height: 96, rgb: (0..<96 * 96 * 3).map { UInt8(truncatingIfNeeded: $0 &* k) }))
    }
    let text = (0..<700).map { "word \($0 % 10)" }.joined(separator: " ")
    let conversation = pipeline.conversation()
    let cancelled = Task {
        var options = GenerationOptions(sampling: .greedy, maxTokens: 6)
        let task = Mutex<Task<Answer, any Error>?>(nil)
        options.onPrefill = { _, _ in task.withLock { $0?.cancel() } }  // after the first slice
        let turn = Task { [options] in try await conversation.respond(to: text, images: [flat(37)], options: options) }
        task.withLock { $0 = turn }
        return try await turn.value
    }
    await #expect(throws: CancellationError.self) { try await cancelled.value }
    #expect(conversation.messages.isEmpty)
    let options = GenerationOptions(sampling: .greedy, maxTokens: 6)
    let second = try await conversation.respond(to: text, images: [flat(101)], options: options)
    let fresh = try await open().conversation().respond(to: text, images: [flat(101)], options: options)
    #expect(second.tokens == fresh.tokens)
    expectClose(second.logprobs, fresh.logprobs, absolute: 2e-3)
    let other = try await open().conversation().respond(to: text, images: [flat(37)], options: options)
    #expect(second.logprobs != other.logprobs)
}

/// A fork is independent; a conversation restored from its messages answers like the original.
@Test func conversationsForkAndAreRestored() async throws {
    let pipeline = try open()
    let options = GenerationOptions(sampling: .greedy, maxTokens: 6)
    let conversation = pipeline.conversation(system: "Be brief.")
    var forced = options
    forced.forcedTokens = pipeline.tokenizer.encode("two three") + [pipeline.tokenizer.specialTokens["<turn|>"]!]
    _ = try await conversation.respond(to: "one", options: forced)
    let fork = conversation.fork()
    let here = try await conversation.respond(to: "two", options: options)
    let there = try await fork.respond(to: "three", options: options)
    #expect(conversation.messages.count == 5 && fork.messages.count == 5 && conversation.messages != fork.messages)
    let restored = try open().conversation(messages: Array(fork.messages.prefix(3)))
    #expect(try await restored.respond(to: "three", options: options).tokens == there.tokens)
    conversation.reset()
    #expect(conversation.messages == [ChatMessage(.system, "Be brief.")])
    _ = here
}

@Test func manyConversationsShareOneModel() async throws {
    let pipeline = try open()
    let options = GenerationOptions(sampling: .greedy, maxTokens: 8)
    let alone = try await pipeline.generate([ChatMessage(.user, "one")], options: options).answer().tokens
    try await withThrowingTaskGroup(of: [Int].self) { group in
        for _ in 0..<6 {
            group.addTask { try await pipeline.generate([ChatMessage(.user, "one")], options: options).answer().tokens }
        }
        for try await tokens in group { #expect(tokens == alone) }
    }
}

/// Leaving the loop, or cancelling the task, stops generation itself.
@Test(arguments: [true, false])
func cancellationEndsAnAnswer(byLeaving: Bool) async throws {
    let pipeline = try open()
    var options = GenerationOptions(sampling: .init(temperature: 1, seed: 1), maxTokens: 100_000, loopGuard: nil)
    options.endsAtStopTokens = false
    let task = Task { [options] in
        var count = 0
        for try await _ in pipeline.generate([ChatMessage(.user, "one")], options: options) {
            count += 1
            if byLeaving && count == 3 { return count }
            if count == 3 { withUnsafeCurrentTask { $0?.cancel() } }
        }
        return count
    }
    let count = try? await task.value
    #expect(count ?? 0 <= 300)
    // The engine checks for cancellation between two steps.
    for _ in 0..<200 where await pipeline.statistics.ended == 0 { try await Task.sleep(for: .milliseconds(10)) }
    let statistics = await pipeline.statistics
    #expect(statistics.ended == 1 && statistics.running == 0 && statistics.generatedTokens < 10_000)
}

/// Decoding on a warm conversation takes every buffer from the pool.
@Test func warmDecodingAllocatesNoBuffer() async throws {
    let pipeline = try open(threadCount: 1)
    let sampling = SamplingOptions(temperature: 1, seed: 3)
    _ = try await pipeline.generate([ChatMessage(.user, "one")], options: .init(sampling: sampling, maxTokens: 12))
        .answer()
    // The second and third time the prompt is cached, and shared pages are copied on write.
    for _ in 0..<2 {
        _ = try await pipeline.generate(
            [ChatMessage(.user, "one")], options: .init(sampling: sampling, maxTokens: 12)
        ).answer()
    }
    let before = pipeline.model.device.buffersMade
    _ = try await pipeline.generate([ChatMessage(.user, "one")], options: .init(sampling: sampling, maxTokens: 12))
        .answer()
    #expect(pipeline.model.device.buffersMade == before)
}

@Test func whatCannotBecomeAPromptIsRefused() async throws {
    let e2b = try open()
    let large = try open("31B")
    let files = PromptOptions(resolver: .files())
    func message(_ body: () async throws -> Void) async -> String {
        do {
            try await body()
            return "no error"
        } catch {
            return "\(error)"
        }
    }
    func prompt(_ part: ContentPart, _ options: PromptOptions = .init()) async -> String {
        await message { _ = try await e2b.prompt([ChatMessage(.user, parts: [part])], options: options) }
    }
    #expect(await prompt(.video("nowhere.mp4"), files).contains("no such file"))
    #expect(
        await prompt(.image())
            == "the messages name 1 pictures, recordings and films, 0 were given; give as many, in their order")
    #expect(await prompt(.image("https://example.com/a.png"), files).contains("not fetched"))
    #expect(await prompt(.image("nowhere.png"), files).contains("no such file"))
    // Messages open no file, unless the caller allows it.
    #expect(await prompt(.image(attachment("wide.png").path)).contains("where the caller allows"))
    #expect(await prompt(.image(attachment("wide.png").absoluteString)).contains("where the caller allows"))
    #expect(
        await message { _ = try await e2b.softTokens(.samples([Float](repeating: 0, count: 160), sampleRate: 16_000)) }
            .contains("more than 160"))
    #expect(
        await message {
            _ = try await large.softTokens(.samples([Float](repeating: 0, count: 1600), sampleRate: 16_000))
        }
        .contains("no audio tower"))
    #expect(
        await message {
            _ = try await e2b.prompt(
                [ChatMessage(.user, parts: [.audio()])], media: [.image(.file(attachment("wide.png")))])
        } == "medium 1: the message names a recording, something else was given")
}

/// A picture or recording may come as a file, its bytes, or pixels and samples.
@Test func mediaComeInEveryForm() async throws {
    let pipeline = try open()
    let image = attachment("wide.png")
    let sound = attachment("chirp.wav")
    let expected = try await pipeline.softTokens(.file(image)).toArray()
    #expect(try await pipeline.softTokens(.bytes(Data(contentsOf: image))).toArray() == expected)
    #expect(try await pipeline.softTokens(.pixels(ImageReader().read(image))).toArray() == expected)
    let encoded = "data:image/png;base64," + (try Data(contentsOf: image)).base64EncodedString()
    let prompt = try await pipeline.prompt([ChatMessage(.user, parts: [.image(encoded)])])
    try await pipeline.engine.encode(prompt.media.map(\.input))
    #expect(prompt.media.map { $0.input.softTokens!.toArray() } == [expected])
    let heard = try await pipeline.softTokens(.file(sound)).map { $0.toArray() }
    #expect(try await pipeline.softTokens(.bytes(Data(contentsOf: sound))).map { $0.toArray() } == heard)
    var reader = try AudioReader(sound)
    #expect(try await pipeline.softTokens(.samples(reader.readAll(), sampleRate: 16_000)).map { $0.toArray() } == heard)
    // The engine had seen them all by then.
    #expect(await pipeline.statistics.mediaHits == 5)
}

/// A net with random weights that is forced to begin a call completes one that its tool accepts.
@Test(arguments: ["E2B", "26B-A4B"], [0, 1, 2])
func callsOfToolsObeyTheirSchemas(variant: String, seed: UInt64) async throws {
    let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint(variant)), threadCount: 2)
    let tool: JSONValue = [
        "type": "function",
        "function": [
            "name": "set_lamp", "description": "d",
            "parameters": [
                "type": "object",
                "properties": [
                    "room": ["enum": ["kitchen", "hall"]], "level": ["type": "integer", "minimum": 1, "maximum": 99],
                    "note": ["type": "string", "maxLength": 5],
                ], "required": ["room", "level"],
            ],
        ],
    ]
    var options = GenerationOptions(sampling: .init(temperature: seed == 0 ? 0 : 1, seed: seed), maxTokens: 200)
    options.forcedTokens = [try #require(pipeline.tokenizer.specialTokens["<|tool_call>"])]
    let answer = try await pipeline.generate(
        [ChatMessage(.user, "Light!")], prompt: PromptOptions(tools: [tool]), options: options
    ).answer()
    let call = try #require(answer.finish?.toolCalls.first)
    #expect(call.name == "set_lamp")
    #expect([.string("kitchen"), .string("hall")].contains(call.arguments["room"]))
    guard case .integer(1...99)? = call.arguments["level"] else {
        Issue.record("\(call.arguments.json)")
        return
    }
    guard case .object(let members) = call.arguments else { return }
    #expect(Set(members.map(\.key)).isSubset(of: ["room", "level", "note"]))
}
