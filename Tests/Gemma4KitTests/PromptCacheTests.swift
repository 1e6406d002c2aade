import Foundation
import JSONText
import TestSupport
import Testing
import Tokenization

@testable import Gemma4Kit
@testable import Generation

private func attachment(_ name: String) -> URL { Goldens.folder.appending(path: "attachments/\(name)") }

/// At most 16 rows per pass, except for images with bidirectional attention: all passes of a prompt are then equal,
/// whatever is cached, and results are compared bit for bit.
private func open(_ variant: String, precision: Precision = .init(), limits: EngineLimits? = nil) throws
    -> Gemma4Pipeline
{
    try Gemma4Pipeline(
        contentsOf: URL(filePath: Goldens.checkpoint(variant)), threadCount: 2, precision: precision,
        limits: limits ?? EngineLimits(promptTokensPerStep: 8))
}

private func same(_ one: Answer, _ other: Answer) -> Bool {
    one.tokens == other.tokens && one.logprobs.map(\.bitPattern) == other.logprobs.map(\.bitPattern)
}

private let options = {
    var options = GenerationOptions(sampling: .greedy, maxTokens: 6)
    options.endsAtStopTokens = false
    return options
}()

/// A long text, images and, if the model has audio input, a recording; then a question.
private func messages(_ variant: String, _ question: String) -> (messages: [ChatMessage], media: [MediaInput]) {
    let long = (0..<150).map { "word \($0 % 7)" }.joined(separator: " ")
    let hears = ["E2B", "E4B", "12B"].contains(variant)
    let parts = [.image(), .image(), ContentPart.text(long)] + (hears ? [.audio()] : [])
    let media = [MediaInput.image(.file(attachment("wide.png"))), .image(.file(attachment("noise.png")))]
    return (
        [ChatMessage(.user, parts: parts), ChatMessage(.assistant, "Yes."), ChatMessage(.user, question)],
        media + (hears ? [.audio(.file(attachment("chirp.wav")))] : [])
    )
}

@Suite struct PromptCacheTests {
    /// Another process prefills only the last token, encodes no media, and gives a bit-identical answer; other prompts
    /// are answered as without the file.
    @Test(arguments: Goldens.variants)
    func aPromptGoesOnFromItsFile(variant: String) async throws {
        let directory = try TemporaryDirectory()
        let file = URL(filePath: "\(directory.path)/prompt.cache")
        let first = try open(variant)
        #expect(try await !first.loadPromptCache(contentsOf: file))
        let (said, media) = messages(variant, "What is this?")
        let prompt = try await first.prompt(said, media: media)
        let answer = try await first.generate(prompt, options: options).answer()
        try await first.savePromptCache(of: prompt, to: file)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["prompt.cache"])

        let second = try open(variant)
        #expect(try await second.loadPromptCache(contentsOf: file))
        let again = try await second.generate(second.prompt(said, media: media), options: options).answer()
        #expect(same(again, answer))
        #expect(again.finish?.statistics.cachedTokens == prompt.tokens.count - 1)
        let statistics = await second.statistics
        #expect(statistics.keptMediaBytes == 0 && statistics.mediaHits == 0 && statistics.promptTokens == 1)
        #expect(again.finish?.statistics.encodeSeconds == 0 && (answer.finish?.statistics.encodeSeconds ?? 0) > 0)

        let (asked, _) = messages(variant, "And what is that?")
        let other = try await second.generate(asked, media: media, options: options).answer()
        let fresh = try await open(variant).generate(asked, media: media, options: options).answer()
        #expect(same(other, fresh) && other.logprobs != answer.logprobs)
        #expect((other.finish?.statistics.promptTokens ?? .max) < 30)
        #expect(await second.statistics.keptMediaBytes == 0)
    }

    /// If prompts diverge before the range that sliding-window layers can be truncated to, the file stores a snapshot
    /// of the shared prefix, from which the third prompt continues.
    @Test(arguments: ["E2B", "31B"])
    func aSharedBeginningIsLearned(variant: String) async throws {
        let directory = try TemporaryDirectory()
        let file = URL(filePath: "\(directory.path)/prompt.cache")
        func prompt(_ end: Int) -> Prompt {
            Prompt(tokens: (0..<900).map { 100 + ($0 < 600 ? $0 % 90 : ($0 + end) % 80) })
        }
        var read: [Int] = []
        for question in 1...4 {
            let pipeline = try open(variant)
            try await pipeline.loadPromptCache(contentsOf: file)
            let answer = try await pipeline.generate(prompt(question), options: options).answer()
            try await pipeline.savePromptCache(of: prompt(question), to: file)
            read.append(answer.finish!.statistics.promptTokens)
            #expect(same(answer, try await open(variant).generate(prompt(question), options: options).answer()))
        }
        #expect(read == [900, 900, 300, 300])
    }

    /// A growing prompt prefills only its new part.
    @Test func aGrowingPromptReadsWhatIsNew() async throws {
        let directory = try TemporaryDirectory()
        let file = URL(filePath: "\(directory.path)/prompt.cache")
        var read: [Int] = []
        for length in [300, 700, 1100] {
            let pipeline = try open("E2B")
            try await pipeline.loadPromptCache(contentsOf: file)
            let prompt = Prompt(tokens: (0..<length).map { 100 + $0 % 90 })
            read.append(try await pipeline.generate(prompt, options: options).answer().finish!.statistics.promptTokens)
            try await pipeline.savePromptCache(of: prompt, to: file)
        }
        #expect(read == [300, 400, 400])
    }

    /// Caches of every type are stored and restored.
    @Test(arguments: [KeyValueType.float16, .q8_0, .rotated])
    func otherTypesOfKeysAndValuesAreKept(type: KeyValueType) async throws {
        let directory = try TemporaryDirectory()
        let file = URL(filePath: "\(directory.path)/prompt.cache")
        let prompt = Prompt(tokens: (0..<700).map { 100 + $0 % 90 })
        var precision = Precision()
        precision.keyValueType = type
        let first = try open("E2B", precision: precision)
        let answer = try await first.generate(prompt, options: options).answer()
        try await first.savePromptCache(of: prompt, to: file)
        let second = try open("E2B", precision: precision)
        try await second.loadPromptCache(contentsOf: file)
        #expect(same(try await second.generate(prompt, options: options).answer(), answer))
        #expect(await second.statistics.promptTokens == 1)
    }
}

/// Refused files and their error messages.
@Suite struct ForeignPromptCacheTests {
    private let directory: TemporaryDirectory
    private let file: String
    private let prompt = Prompt(tokens: (0..<200).map { 100 + $0 % 90 })

    init() throws {
        directory = try TemporaryDirectory()
        file = "\(directory.path)/prompt.cache"
    }

    private func write() async throws -> [UInt8] {
        let pipeline = try open("E2B")
        _ = try await pipeline.generate(prompt, options: options).answer()
        try await pipeline.savePromptCache(of: prompt, to: URL(filePath: file))
        return Array(try Data(contentsOf: URL(filePath: file)))
    }

    private func error(_ pipeline: Gemma4Pipeline, _ file: String? = nil) async -> PromptCacheError? {
        do {
            try await pipeline.loadPromptCache(contentsOf: URL(filePath: file ?? self.file))
            return nil
        } catch {
            return error as? PromptCacheError
        }
    }

    @Test func filesOfOtherModelsAreRefused() async throws {
        _ = try await write()
        #expect(await error(try open("E2B")) == nil)
        let other = try #require(await error(try open("E4B")))
        #expect(other.code == .otherModel && other.diagnosis.kind.exitCode == 65)
        #expect(
            other.description.wholeMatch(
                of:
                    /.*prompt.cache: expected keys and values of checkpoint \([0-9a-f]{12}\), found those of checkpoint \([0-9a-f]{12}\). Take .*/
            ) != nil, "\(other)")
        var precision = Precision()
        precision.keyValueType = .float16
        let type = try #require(await error(try open("E2B", precision: precision)))
        #expect(type.description.contains("expected keys and values in float16, found float32. Start with"))
        precision = Precision()
        precision.towerActivations = .int8
        #expect(await error(try open("E2B", precision: precision))?.code == .otherModel)

        // Trained on: weights have changed here and there.
        let changed = "\(directory.path)/changed"
        try FileManager.default.copyItem(atPath: Goldens.checkpoint("E2B"), toPath: changed)
        var weights = try Data(contentsOf: URL(filePath: "\(changed)/model.safetensors"))
        for place in stride(from: weights.count / 2, to: weights.count, by: 16) { weights[place] ^= 1 }
        try weights.write(to: URL(filePath: "\(changed)/model.safetensors"))
        #expect(await error(try Gemma4Pipeline(contentsOf: URL(filePath: changed)))?.code == .otherModel)
    }

    @Test func damagedFilesAreRefused() async throws {
        let bytes = try await write()
        let pipeline = try open("E2B")
        func code(_ bytes: some Collection<UInt8>) async throws -> PromptCacheError.Code? {
            await error(pipeline, try directory.write(bytes, to: "damaged"))?.code
        }
        for length in stride(from: 0, to: bytes.count, by: bytes.count / 40) {
            let found = try await code(bytes.prefix(length))
            #expect(found == (length < 32 ? .notACache : .damaged), "\(length) bytes")
        }
        #expect(try await code(bytes + [0]) == .damaged)
        for place in Array(stride(from: 8, to: bytes.count, by: bytes.count / 60)) + Array(8..<200) {
            var changed = bytes
            changed[place] ^= 0x10
            let found = try await code(changed)
            #expect(found == (place < 16 ? .version : .damaged), "byte \(place)")
        }
        var newer = bytes
        newer[8] = 3
        #expect(
            await error(pipeline, try directory.write(newer, to: "newer"))?.description.hasSuffix(
                "newer: expected version 2, found version 3. Remove the file, or take the gemma4 that wrote it.")
                == true)
        // A refused file leaves nothing in the cache.
        #expect(await pipeline.statistics.keptBytes == 0)
    }

    /// A header with a valid checksum and impossible values: nothing is allocated, and nothing traps.
    @Test func hostileHeadersAreRefused() async throws {
        let bytes = try await write()
        let count = bytes[16..<24].reversed().reduce(0) { $0 << 8 | Int($1) }
        let header = try JSONValue(parsing: Array(bytes[32..<32 + count]))
        let pipeline = try open("E2B")
        func file(_ header: JSONValue) throws -> String {
            let text = Array(header.json.utf8)
            let numbers = [2, UInt64(text.count), text.withUnsafeBytes { XXH64.hash($0) }]
            let start =
                Array("gemma4kv".utf8)
                + numbers.flatMap { number in (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }
            return try directory.write(start + text + bytes[(32 + count)...], to: "hostile")
        }
        #expect(await error(pipeline, try file(header)) == nil)
        var tried = 0
        for (place, replacement) in Self.hostile(header) {
            let found = await error(pipeline, try file(replacement))
            // The model's name is not checked, and a file may hold no snapshot, or the same one twice.
            let isHarmless =
                place.hasPrefix("name") || ["states.", "states.[0] left out", "states.[0] twice"].contains(place)
            #expect(found != nil || isHarmless, "\(place)")
            tried += 1
        }
        #expect(tried > 150)
        let huge = try #require(await error(pipeline, try file(header.replacing("positions", .integer(.max)))))
        #expect(
            huge.description.contains("hostile, positions: expected a number from 0 to ")
                && huge.description.hasSuffix("found 9223372036854775807. The file is damaged: remove it."), "\(huge)")
    }

    /// Every value of a header, replaced by others, and left out.
    private static func hostile(_ value: JSONValue, _ place: String = "") -> [(String, JSONValue)] {
        var results: [(String, JSONValue)] = []
        let others: [JSONValue] = [
            .null, .integer(-1), .integer(.max), .integer(.min), .integer(1 << 40), .number(0.5), "x", [], .object([]),
        ]
        switch value {
        case .object(let members):
            for (index, member) in members.enumerated() {
                func with(_ new: JSONValue?) -> JSONValue {
                    var members = members
                    if let new { members[index] = .init(member.key, new) } else { members.remove(at: index) }
                    return .object(members)
                }
                let inner =
                    Self.hostile(member.value, member.key) + others.filter { $0 != member.value }.map { ("", $0) }
                results += inner.map { ("\(member.key).\($0)", with($1)) } + [("\(member.key) left out", with(nil))]
            }
        case .array(let values):
            for (index, element) in values.enumerated() {
                func with(_ new: [JSONValue]) -> JSONValue {
                    .array(Array(values[..<index]) + new + Array(values[(index + 1)...]))
                }
                let inner = Self.hostile(element, place) + others.filter { $0 != element }.map { ("", $0) }
                results += inner.map { ("[\(index)]\($0)", with([$1])) }
                results += [("[\(index)] left out", with([])), ("[\(index)] twice", with([element, element]))]
            }
        default: break
        }
        return results
    }

    @Test func otherFilesAreRefusedAndKept() async throws {
        let pipeline = try open("E2B")
        let notes = try directory.write(Array("notes, and more than thirty-two bytes of them\n".utf8), to: "notes.txt")
        #expect(
            await error(pipeline, notes)?.description
                == "\(notes): expected a prompt cache or a saved conversation, found another file. Give another name.")
        #expect(await error(pipeline, directory.path)?.description.contains("found a folder, pipe or device") == true)
        _ = try await pipeline.generate(prompt, options: options).answer()
        await #expect(throws: PromptCacheError.self) {
            try await pipeline.savePromptCache(of: prompt, to: URL(filePath: notes))
        }
        await #expect(throws: PromptCacheError.self) {
            try await pipeline.savePromptCache(of: prompt, to: URL(filePath: "\(directory.path)/nowhere/a"))
        }
        #expect(try String(contentsOfFile: notes, encoding: .utf8).hasPrefix("notes"))
        // A prompt that was never prefilled cannot be saved.
        let unread = Prompt(tokens: [250, 251])
        await #expect(throws: PromptCacheError.self) {
            try await pipeline.savePromptCache(of: unread, to: URL(filePath: file))
        }
        #expect(!FileManager.default.fileExists(atPath: file))
    }

    @Test func aFileBeyondTheMemoryIsRefused() async throws {
        _ = try await write()
        let small = try open("E2B", limits: EngineLimits(memoryBytes: 100_000))
        await #expect(throws: EngineError.self) { try await small.loadPromptCache(contentsOf: URL(filePath: file)) }
    }
}

extension JSONValue {
    fileprivate func replacing(_ key: String, _ value: JSONValue) -> JSONValue {
        guard case .object(let members) = self else { return self }
        return .object(members.map { $0.key == key ? .init(key, value) : $0 })
    }
}

/// Conversations in files.
@Suite struct SavedConversationTests {
    /// The next turn prefills only its own tokens, and answers as if the conversation had not been interrupted.
    @Test(arguments: Goldens.variants, [false, true])
    func aConversationGoesOnFromItsFile(variant: String, thinking: Bool) async throws {
        let directory = try TemporaryDirectory()
        let file = URL(filePath: "\(directory.path)/talk")
        let promptOptions = PromptOptions(thinking: thinking, resolver: .files())
        let pipeline = try open(variant)
        let conversation = pipeline.conversation(system: "Be brief.", prompt: promptOptions)
        var first = options
        first.endsAtStopTokens = true
        first.maxTokens = 30
        // Spelled as no tokenizer would.
        first.forcedTokens =
            "one two".unicodeScalars.flatMap { pipeline.tokenizer.encode(String($0)) }
            + [pipeline.tokenizer.specialTokens["<turn|>"]!]
        let long = (0..<150).map { "word \($0 % 7)" }.joined(separator: " ")
        let said = ChatMessage(.user, parts: [.image(attachment("wide.png").path), .text(long)])
        _ = try await conversation.respond(to: [said], options: first)
        try await conversation.save(to: file)
        let saved = conversation.messages
        let expected = try await conversation.respond(to: "And now?", options: options)

        let other = try open(variant)
        let loaded = try await other.conversation(contentsOf: file, prompt: promptOptions)
        #expect(loaded.messages == saved)
        let answer = try await loaded.respond(to: "And now?", options: options)
        #expect(same(answer, expected))
        #expect(answer.finish?.promptTokens == expected.finish?.promptTokens)
        #expect(answer.finish?.statistics.promptTokens == expected.finish?.statistics.promptTokens)
        #expect(await other.statistics.keptMediaBytes == 0)
        // Saved again over itself.
        try await loaded.save(to: file)
        #expect(try await open(variant).conversation(contentsOf: file).messages.count == 5)
    }

    /// No medium is opened unless a turn goes back before it; then it is read from the path in the messages.
    @Test(arguments: ["E2B", "26B-A4B"])
    func mediaAreOpenedOnlyIfNeeded(variant: String) async throws {
        let directory = try TemporaryDirectory()
        let file = URL(filePath: "\(directory.path)/talk")
        let picture = URL(filePath: "\(directory.path)/picture.png")
        try FileManager.default.copyItem(at: attachment("wide.png"), to: picture)
        let (plain, thinking) = (PromptOptions(resolver: .files()), PromptOptions(thinking: true, resolver: .files()))
        let pipeline = try open(variant)
        let conversation = pipeline.conversation(system: "Be brief.", prompt: plain)
        var first = options
        first.endsAtStopTokens = true
        first.maxTokens = 30
        first.forcedTokens = pipeline.tokenizer.encode("one") + [pipeline.tokenizer.specialTokens["<turn|>"]!]
        let said = ChatMessage(.user, parts: [.image(picture.path), .text("What is this?")])
        _ = try await conversation.respond(to: [said], options: first)
        try await conversation.save(to: file)
        let expected = try await conversation.respond(to: "And now?", options: options)

        // With thinking the system turn differs, so that the whole prompt is prefilled again.
        let again = try await open(variant).conversation(contentsOf: file, prompt: thinking)
            .respond(to: "And now?", options: options)
        let fresh = try await open(variant).conversation(
            messages: Array(conversation.messages.prefix(3)), prompt: thinking
        )
        .respond(to: "And now?", options: options)
        #expect(same(again, fresh))

        try FileManager.default.removeItem(at: picture)
        let loaded = try await open(variant).conversation(contentsOf: file, prompt: plain)
        #expect(same(try await loaded.respond(to: "And now?", options: options), expected))
        let gone = try await open(variant).conversation(contentsOf: file, prompt: thinking)
        await #expect(throws: (any Error).self) { try await gone.respond(to: "And now?", options: options) }
        try FileManager.default.copyItem(at: attachment("tall.png"), to: picture)
        await #expect(throws: EncoderInputError.changed) { try await gone.respond(to: "And now?", options: options) }

        // An image passed by the caller is restored from its cached encoding; its path is not saved.
        let handed = pipeline.conversation(system: "Be brief.")
        _ = try await handed.respond(to: "What is this?", images: [.file(attachment("wide.png"))], options: first)
        try await handed.save(to: file)
        let other = try await open(variant).conversation(contentsOf: file)
        #expect(same(try await other.respond(to: "And now?", options: options), expected))
        await #expect(throws: EncoderInputError.unknownPlace) {
            try await open(variant).conversation(contentsOf: file, prompt: thinking).respond(to: "x", options: options)
        }
    }

    @Test func whatIsNoConversationIsSaidSo() async throws {
        let directory = try TemporaryDirectory()
        let (talk, cache) = (URL(filePath: "\(directory.path)/talk"), URL(filePath: "\(directory.path)/cache"))
        let pipeline = try open("E2B")
        let prompt = Prompt(tokens: (0..<200).map { 100 + $0 % 90 })
        _ = try await pipeline.generate(prompt, options: options).answer()
        try await pipeline.savePromptCache(of: prompt, to: cache)
        await #expect(throws: PromptCacheError.noConversation(cache.path)) {
            _ = try await pipeline.conversation(contentsOf: cache)
        }
        // An empty conversation.
        try await pipeline.conversation().save(to: talk)
        #expect(try await pipeline.conversation(contentsOf: talk).messages.isEmpty)
        do {
            try await pipeline.savePromptCache(of: prompt, to: talk)
            Issue.record("a conversation was written over")
        } catch let error as PromptCacheError {
            #expect(error.code == .conversation)
        }
    }
}
