import Foundation
import Gemma4
import Synchronization
import TestSupport
import Testing
import Tokenization

@testable import Gemma4Kit
@testable import Generation

/// Random requests to the engine: prompts with shared prefixes, text, images and sound.
private struct Question: Sendable {
    let messages: [ChatMessage]
    let media: [MediaInput]
    var options: GenerationOptions

    static func all(_ variant: String) -> [Question] {
        func file(_ name: String) -> URL { Goldens.folder.appending(path: "attachments/\(name)") }
        let long = (0..<90).map { "word \($0 % 7)" }.joined(separator: " ")
        let system = ChatMessage(.system, "Be brief.")
        func ask(_ parts: [ContentPart], _ media: [MediaInput] = []) -> ([ChatMessage], [MediaInput]) {
            ([system, ChatMessage(.user, parts: parts)], media)
        }
        var asked = [
            ask([.text("one")]), ask([.text("one two three")]), ask([.text(long + " and now?")]),
            ask([.text(long + " and then?")]),
            ask([.image(), .text("What is this?")], [.image(.file(file("wide.png")))]),
            ask([.image(), .text("What is this?")], [.image(.file(file("tall.png")))]),
            ask(
                [.image(), .image(), .text(long)], [.image(.file(file("wide.png"))), .image(.file(file("noise.png")))]),
        ]
        if variant.hasPrefix("E") {
            asked += [
                ask([.text("What do you hear?"), .audio()], [.audio(.file(file("chirp.wav")))]),
                ask([.text("What do you hear?"), .audio()], [.audio(.file(file("bursts.wav")))]),
            ]
        }
        return asked.enumerated().flatMap { index, asked in
            [SamplingOptions.greedy, SamplingOptions(temperature: 1, topK: 40, seed: UInt64(index))].map { sampling in
                var options = GenerationOptions(sampling: sampling, maxTokens: 3 + index * 5 % 17)
                options.endsAtStopTokens = false
                return Question(messages: asked.0, media: asked.1, options: options)
            }
        }
    }
}

private final class Counter: Sendable {
    private let value = Mutex(0)
    var count: Int { value.withLock { $0 } }
    func increment() { value.withLock { $0 += 1 } }
}

private final class Names: Sendable {
    private let names = Mutex<[String]>([])
    var all: [String] { names.withLock { $0 } }
    func append(_ name: String) { names.withLock { $0.append(name) } }
}

private func open(_ variant: String, _ limits: EngineLimits = .init()) throws -> Gemma4Pipeline {
    try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint(variant)), threadCount: 2, limits: limits)
}

/// Schedules that are tried: `GEMMA4_SCHEDULES` of them, by default a few.
private let schedules = ProcessInfo.processInfo.environment["GEMMA4_SCHEDULES"].flatMap { Int($0) } ?? 12

/// Sequences that join, leave, share prefixes and are cancelled at random get the same tokens and bit-identical
/// log-probabilities as alone.
///
/// At most 16 rows per pass: beyond, f32 and bf16 weights are multiplied in panels, which sum in another order. Images
/// with bidirectional attention need more rows, and log-probabilities differ by up to 1e-5 (measured).
@Test(arguments: Goldens.variants)
func whatASequenceGetsDoesNotDependOnItsNeighbors(variant: String) async throws {
    let questions = Question.all(variant)
    let alone = try open(variant, .init(mediaBytes: 0, runningSequences: 1, promptTokensPerStep: 8))
    var expected: [(tokens: [Int], logprobs: [Float])] = []
    for question in questions {
        var options = question.options
        options.keepsCache = false
        let answer = try await alone.generate(question.messages, media: question.media, options: options).answer()
        expected.append((answer.tokens, answer.logprobs))
    }
    let pipeline = try open(variant, .init(runningSequences: 8, promptTokensPerStep: 8))
    let isExact = !pipeline.model.readsImagesWhole
    let compared = Counter()
    for schedule in 0..<schedules {
        var random = SeededNumbers(seed: UInt64(schedule))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<10 {
                let index = Int.random(in: questions.indices, using: &random)
                var question = questions[index]
                question.options.keepsCache = Int.random(in: 0..<4, using: &random) > 0
                if Bool.random(using: &random) { question.options.draft = .lookup }
                let wait = Int.random(in: 0..<20, using: &random)
                let leaving = Bool.random(using: &random) ? Int.random(in: 1...8, using: &random) : .max
                group.addTask { [question, expected = expected[index]] in
                    try await Task.sleep(for: .milliseconds(wait))
                    var found: (tokens: [Int], logprobs: [Float]) = ([], [])
                    for try await token in pipeline.generate(
                        question.messages, media: question.media, options: question.options)
                    {
                        found.tokens.append(token.id)
                        found.logprobs.append(token.logprob)
                        if found.tokens.count == leaving { break }
                    }
                    let count = min(leaving, expected.tokens.count)
                    #expect(
                        found.tokens == Array(expected.tokens.prefix(count)), "schedule \(schedule), question \(index)")
                    expectClose(
                        found.logprobs, Array(expected.logprobs.prefix(count)), absolute: isExact ? 0 : 1e-4)
                    compared.increment()
                }
            }
            try await group.waitForAll()
        }
    }
    #expect(compared.count == schedules * 10)
    let statistics = await pipeline.statistics
    #expect(statistics.cachedTokens > 0)
}

/// The shared prefix of simultaneous prompts is prefilled once.
@Test func simultaneousPromptsShareTheirBeginning() async throws {
    let pipeline = try open("E2B")
    let tokens = (0..<400).map { 100 + $0 % 100 }
    let options = GenerationOptions(sampling: .greedy, maxTokens: 3)
    let prompts = (0..<6).map { Prompt(tokens: tokens + [220 + $0, 230, 240]) }
    let streams = prompts.map { pipeline.generate($0, options: options) }
    var cached = 0
    for (stream, prompt) in zip(streams, prompts) {
        let answer = try await stream.answer()
        let fresh = try await open("E2B").generate(prompt, options: options).answer()
        #expect(answer.tokens == fresh.tokens)
        cached += answer.finish!.statistics.cachedTokens
    }
    #expect(cached == 5 * tokens.count)
}

/// Several answers to one prompt differ only by their seeds, and the prompt is prefilled once.
@Test func severalAnswersShareAPrompt() async throws {
    let pipeline = try open("E2B")
    let prompt = Prompt(tokens: (0..<300).map { 100 + $0 % 100 })
    var options = GenerationOptions(sampling: .init(temperature: 1, seed: 5), maxTokens: 8)
    options.endsAtStopTokens = false
    var answers: [Answer] = []
    for stream in pipeline.generate(prompt, count: 4, options: options) { answers.append(try await stream.answer()) }
    #expect(Set(answers.map(\.tokens)).count == 4)
    #expect(answers.map { $0.finish!.statistics.promptTokens } == [300, 1, 1, 1])
    options.sampling!.seed = 7
    let alone = try await open("E2B").generate(prompt, options: options).answer()
    #expect(alone.tokens == answers[2].tokens)
}

/// A consumer that does not read delays only its own answer.
@Test func aSlowReaderHoldsUpNobody() async throws {
    let pipeline = try open("E2B")
    var options = GenerationOptions(sampling: .init(temperature: 1, seed: 5), maxTokens: 2000, loopGuard: nil)
    options.endsAtStopTokens = false
    let slow = pipeline.generate(Prompt(tokens: [211, 30]), options: options)
    options.maxTokens = 900
    let quick = try await pipeline.generate(Prompt(tokens: [211, 31]), options: options).answer()
    #expect(quick.tokens.count == 900)
    let statistics = await pipeline.statistics
    #expect(statistics.running == 1 && statistics.generatedTokens < 900 + 300)
    #expect(try await slow.answer().tokens.count == 2000)
}

/// A request that can never fit is refused with its requirement; one that does not fit now waits; one beyond the
/// queue's limit is refused.
@Test func memoryDecidesWhoIsAdmitted() async throws {
    let probe = try open("E2B")
    let one = probe.model.cacheByteCount(positions: 2 + 64, chunkLength: 512)
    let pipeline = try open("E2B", .init(memoryBytes: one * 2 + one / 2, waitingSequences: 2))
    var options = GenerationOptions(sampling: .init(temperature: 1, seed: 5), maxTokens: 64, loopGuard: nil)
    options.endsAtStopTokens = false
    options.keepsCache = false
    var long = options
    long.maxTokens = 100_000
    await #expect(throws: EngineError.self) {
        _ = try await pipeline.generate(Prompt(tokens: [211, 30]), options: long).answer()
    }
    var most = 0
    options.onPrefill = { _, _ in }
    let streams = (0..<4).map { pipeline.generate(Prompt(tokens: [211, 30 + $0]), options: options) }
    var ended = 0
    try await withThrowingTaskGroup(of: Int.self) { group in
        for stream in streams { group.addTask { try await stream.answer().tokens.count } }
        for try await count in group {
            #expect(count == 64)
            ended += 1
            most = max(most, await pipeline.statistics.running)
        }
    }
    #expect(ended == 4 && most <= 2)
    #expect(await pipeline.statistics.admittedBytes == 0)
}

/// An error of one sequence affects no other.
@Test func anErrorTouchesOneSequenceAlone() async throws {
    let pipeline = try open("E2B")
    let options = GenerationOptions(sampling: .greedy, maxTokens: 12)
    let good = pipeline.generate(Prompt(tokens: [211, 30, 31]), options: options)
    let bad = pipeline.generate(Prompt(tokens: [211, 1 << 20]), options: options)
    await #expect(throws: ModelInputError.self) { try await bad.answer() }
    #expect(
        try await good.answer().tokens
            == open("E2B").generate(Prompt(tokens: [211, 30, 31]), options: options).answer().tokens)
}

@Test func stopStringsAndLogprobsBelongToTheAnswer() async throws {
    let pipeline = try open("E2B")
    let tokenizer = pipeline.tokenizer
    var options = GenerationOptions(sampling: .greedy, maxTokens: 40, stop: ["two"], topLogprobs: 3)
    options.forcedTokens = tokenizer.encode("one two three")
    let answer = try await pipeline.generate([ChatMessage(.user, "a")], options: options).answer()
    #expect(answer.text == "one " && answer.finish?.reason == .stop)
    #expect(answer.topLogprobs.allSatisfy { $0.count == 3 && $0[0].logprob >= $0[1].logprob })
    options.forcedTokens = []
    options.stop = []
    let free = try await pipeline.generate([ChatMessage(.user, "a")], options: options).answer()
    #expect(zip(free.topLogprobs, free.logprobs).allSatisfy { $0[0].logprob >= $1 })
}

/// An answer that copies its prompt is verified several tokens per pass, and is bit-identical; rejected drafts are
/// removed from the cache.
@Test(arguments: Goldens.variants)
func guessesMakeTheSameAnswerInFewerSteps(variant: String) async throws {
    var numbers = SeededNumbers(seed: 5)
    let model = try open(variant).model
    let ordinary = (100..<200).filter { !model.isPlaceholder($0) }
    let passage = (0..<60).map { _ in ordinary.randomElement(using: &numbers)! }
    // Twice the passage, but with other tokens here and there.
    var copy = passage + passage
    for place in stride(from: 17, to: copy.count, by: 23) { copy[place] = 220 }
    func answer(_ draft: GenerationOptions.Draft?) async throws -> (Answer, steps: Int, then: Answer) {
        var limits = EngineLimits()
        limits.verifiesAllGuesses = true
        let pipeline = try open(variant, limits)
        var options = GenerationOptions(sampling: .greedy, maxTokens: copy.count, loopGuard: nil)
        options.forcedTokens = copy
        options.endsAtStopTokens = false
        options.draft = draft
        let answer = try await pipeline.generate(Prompt(tokens: [2] + passage), options: options).answer()
        let steps = await pipeline.statistics.steps
        // The cache that is left holds the answer, and nothing else.
        let next = GenerationOptions(sampling: .greedy, maxTokens: 4)
        let then = try await pipeline.generate(Prompt(tokens: [2] + passage + copy + [107]), options: next).answer()
        return (answer, steps, then)
    }
    let (plain, plainSteps, plainThen) = try await answer(nil)
    let (guessed, steps, then) = try await answer(.lookup)
    #expect(guessed.tokens == copy && guessed.tokens == plain.tokens)
    #expect(guessed.logprobs == plain.logprobs)
    #expect(then.tokens == plainThen.tokens && then.logprobs == plainThen.logprobs)
    #expect(try #require(then.finish).statistics.cachedTokens > copy.count)
    let statistics = try #require(guessed.finish).statistics
    #expect(statistics.acceptedTokens > copy.count / 2 && statistics.acceptedTokens < statistics.draftedTokens)
    #expect(steps + statistics.acceptedTokens == plainSteps)
}

/// 500 conversations end with the memory they began with.
@Test func manyConversationsLeaveNothingBehind() async throws {
    let pipeline = try open("E2B", .init(memoryBytes: 16 << 20, mediaBytes: 1 << 20))
    let image = Goldens.folder.appending(path: "attachments/wide.png")
    func talk(_ count: Int) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<count {
                if index >= 8 { try await group.next() }
                group.addTask {
                    let conversation = pipeline.conversation()
                    let options = GenerationOptions(sampling: .greedy, maxTokens: 4)
                    _ = try await conversation.respond(
                        to: "\(index)", images: index % 5 == 0 ? [.file(image)] : [], options: options)
                    let stream = conversation.streamResponse(to: "more", options: options)
                    for try await _ in stream where index % 3 == 0 { break }
                }
            }
            try await group.waitForAll()
        }
    }
    func resident() throws -> Int {
        let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
        return Int(fields[1])! * 4096
    }
    try await talk(100)
    // Other tests of this process take memory at the same time: one of ten tries must show no growth. A leak of one
    // cache in each conversation would be 100 MB.
    var growth = Int.max
    for _ in 0..<10 where growth >= 60 << 20 {
        let before = try resident()
        try await talk(500)
        growth = try resident() - before
    }
    let statistics = await pipeline.statistics
    #expect(statistics.running == 0 && statistics.waiting == 0 && statistics.admittedBytes == 0)
    #expect(statistics.keptBytes <= 16 << 20)
    #expect(growth < 60 << 20)
}

/// Interactive requests start before batch requests that arrived earlier; within a priority the order is first in,
/// first out.
@Test func urgentAnswersAreBegunFirst() async throws {
    let pipeline = try open("E2B", .init(runningSequences: 1))
    func options(_ count: Int, _ priority: GenerationOptions.Priority) -> GenerationOptions {
        var options = GenerationOptions(sampling: .init(temperature: 1, seed: 1), maxTokens: count, loopGuard: nil)
        options.endsAtStopTokens = false
        options.priority = priority
        return options
    }
    let busy = pipeline.generate([ChatMessage(.user, "zero")], options: options(300, .batch))
    var iterator = busy.makeAsyncIterator()
    _ = try await iterator.next()
    let order = Names()
    try await withThrowingTaskGroup(of: Void.self) { group in
        let asked = [
            ("batch 1", GenerationOptions.Priority.batch), ("first", .interactive), ("batch 2", .batch),
            ("second", .interactive),
        ]
        for (index, (name, priority)) in asked.enumerated() {
            group.addTask {
                _ = try await pipeline.generate([ChatMessage(.user, name)], options: options(2, priority)).answer()
                order.append(name)
            }
            while await pipeline.statistics.waiting <= index { try await Task.sleep(for: .milliseconds(1)) }
        }
        while try await iterator.next() != nil {}
        try await group.waitForAll()
    }
    #expect(order.all == ["first", "second", "batch 1", "batch 2"])
}
