import ArgumentParser
import Foundation
import Gemma4Kit
import Generation
import JSONText
import Synchronization
import Tokenization

/// Handling of the oldest turns when the context is full.
enum ContextOverflow: String, ExpressibleByArgument, CaseIterable {
    case stop
    case dropOldest = "drop-oldest"
}

/// An interactive conversation: turns with their tool calls, and the commands that change it.
struct ChatSession {
    /// Options of its turns.
    struct Options {
        var tools: [CommandTool] = []
        var overflow = ContextOverflow.stop
        /// Maximum number of tokens in the context.
        var contextLimit: Int
        /// Cache file for the first prompt.
        var promptCache: PromptCache?
        /// Generation options of one answer; its prefill progress is shown on the line.
        var generation: (ProgressLine) -> GenerationOptions
        var printer: AnswerPrinter
        /// Asks the user whether a program may be run; nil if no user can be asked.
        var allows: (() -> Bool)?
        /// Handler of Ctrl-C.
        var stop: AnswerStop?
    }

    /// Maximum number of rounds of tool calls in a turn.
    private static let rounds = 10

    let pipeline: Gemma4Pipeline
    private var options: Options
    private var promptOptions: PromptOptions
    private var thinkingBudget: Int?
    private(set) var conversation: Conversation
    /// Media for the next message.
    private var seen: [ContentPart] = []
    private var heard: [ContentPart] = []
    private var statistics: GenerationStatistics?
    /// Tokens of the last prompt and its answer; nil if unknown.
    private var used: Int?

    init(
        _ pipeline: Gemma4Pipeline, _ messages: [ChatMessage], prompt: PromptOptions, thinkingBudget: Int?,
        _ options: Options
    ) {
        (self.pipeline, self.options, self.thinkingBudget, promptOptions) = (pipeline, options, thinkingBudget, prompt)
        promptOptions.tools = options.tools.map(\.declaration)
        promptOptions.resolver = .files()
        conversation = pipeline.conversation(messages: messages, prompt: promptOptions)
    }

    var messages: [ChatMessage] { conversation.messages }

    // MARK: Turns

    /// Sends a text with the images, films and recordings added before.
    mutating func say(_ text: String) async throws {
        let parts = seen + [.text(text)] + heard
        (seen, heard) = ([], [])
        try await send(parts.count == 1 ? ChatMessage(.user, text) : ChatMessage(.user, parts: parts))
    }

    /// Runs one turn, including its tool calls. A turn that fails leaves the conversation unchanged.
    private mutating func send(_ message: ChatMessage) async throws {
        try await makeRoom(for: [message], keepingFrom: conversation.messages.count)
        let before = conversation.messages
        var new = [message]
        do {
            for round in 0...Self.rounds {
                let (answer, isStopped) = try await answer(new, mayCall: round < Self.rounds)
                if isStopped { return keepPart(answer, of: new, after: before) }
                let calls = answer.finish?.toolCalls ?? []
                guard !calls.isEmpty, !options.tools.isEmpty else { return }
                new = []
                for call in calls {
                    var result = ChatMessage(.tool, await self.result(of: call))
                    result.name = call.name
                    new.append(result)
                }
                try await makeRoom(for: new, keepingFrom: before.count)
            }
        } catch {
            if conversation.messages != before { restart(before) }
            throw error
        }
    }

    /// - Returns: the answer so far, and whether Ctrl-C cancelled it.
    private mutating func answer(_ new: [ChatMessage], mayCall: Bool) async throws -> (Answer, isStopped: Bool) {
        let progress = ProgressLine("prompt")
        var generation = options.generation(progress)
        generation.thinkingBudget = thinkingBudget
        generation.toolChoice = mayCall ? .auto : .none
        let longest = generation.maxTokens
        if let used { generation.maxTokens = max(1, min(longest, options.contextLimit - used)) }
        let stream = conversation.streamResponse(to: new, options: generation)
        let written = Mutex(Answer())
        let watched = TokenStream { yield in
            for try await token in stream {
                written.withLock { $0.append(token) }
                yield(token)
            }
        }
        var printer = options.printer
        printer.showsThoughts = promptOptions.thinking
        let task = Task { [printer, pipeline] in
            try await printer.print(watched, of: pipeline, progress: progress)
        }
        var isStopped = false
        if let stop = options.stop {
            (_, isStopped) = await stop.during({ task.cancel() }) { await task.result }
        }
        // The signal may arrive after the answer is complete.
        if isStopped, case .failure = await task.result { return (written.withLock { $0 }, true) }
        let answer = try await task.value
        statistics = answer.finish?.statistics
        try await keepPrompt()
        used = (answer.finish?.promptTokens.count ?? 0) + answer.tokens.count
        if answer.finish?.reason == .length, answer.tokens.count < longest {
            ByteSink.standardError.report("the context is full: the answer ends here; /clear and /undo make room")
        }
        return (answer, false)
    }

    /// Saves the first prompt to the prompt cache; later conversations may share its prefix.
    private mutating func keepPrompt() async throws {
        guard let cache = options.promptCache, let prompt = conversation.lastPrompt else { return }
        options.promptCache = nil
        guard cache.lacks(tokensRead: statistics?.promptTokens ?? 0) else { return }
        do { try await cache.save(prompt) } catch let error as any DiagnosedError {
            ByteSink.standardError.report("\(error)")
        }
    }

    /// Keeps the text of a cancelled answer, so that the model sees what the user has seen.
    private mutating func keepPart(_ answer: Answer, of new: [ChatMessage], after before: [ChatMessage]) {
        let text = answer.text
        if !text.isEmpty, !text.hasSuffix("\n") { try? ByteSink.standardOutput.write("\n") }
        if text.isEmpty {
            if conversation.messages.count > before.count { restart(before) }
            ByteSink.standardError.report("stopped; the turn is forgotten")
        } else {
            restart(Conversation.paired(conversation.messages, new) + [ChatMessage(.assistant, text)])
            ByteSink.standardError.report("stopped; what was written is kept, /undo forgets it")
        }
    }

    /// Replaces the conversation by one with these messages.
    private mutating func restart(_ messages: [ChatMessage]) {
        used = nil
        conversation = pipeline.conversation(messages: messages, prompt: promptOptions)
    }

    // MARK: Tools

    private func result(of call: ChatMessage.ToolCall) async -> String {
        guard let tool = options.tools.first(where: { $0.name == call.name }) else {
            return "error: no tool \(call.name); there are: \(options.tools.map(\.name).joined(separator: ", "))"
        }
        let words = tool.words(call.arguments).map { word in
            let isPlain =
                !word.isEmpty
                && word.unicodeScalars.allSatisfy {
                    $0.properties.isAlphabetic || "0123456789-_./:=+@%,".unicodeScalars.contains($0)
                }
            return isPlain ? word : "'\(word)'"
        }.joined(separator: " ")
        ByteSink.standardError.report("\(tool.name): \(words)")
        guard let allows = options.allows else {
            ByteSink.standardError.report("not run: nobody can be asked; --yes runs what the model calls")
            return "error: not run, the user has not allowed it"
        }
        guard allows() else { return "error: not run, the user has not allowed it" }
        let stop = ProgramRun.Stop()
        guard let interruption = options.stop else { return await tool.run(call.arguments, stopping: stop) }
        return await interruption.during({ stop.set() }) { await tool.run(call.arguments, stopping: stop) }.0
    }

    // MARK: The context

    /// Ensures that the messages and an answer fit into the context.
    ///
    /// - Parameter first: index of the first message that must not be dropped.
    /// - Throws: `CommandError` if they do not fit.
    private mutating func makeRoom(for new: [ChatMessage], keepingFrom first: Int) async throws {
        let progress = ProgressLine("prompt")
        let reserve = min(options.generation(progress).maxTokens, options.contextLimit / 4)
        let most = new.reduce(0) { sum, message in
            guard case .text(let text) = message.content else { return options.contextLimit }
            return sum + text.utf8.count + 32
        }
        // A text has at most as many tokens as bytes.
        if let used, used + most + reserve <= options.contextLimit {
            self.used = used + most
            return
        }
        var first = first
        while true {
            let count = try await conversation.prompt(adding: new).tokens.count
            used = count
            if count + reserve <= options.contextLimit { return }
            let messages = conversation.messages
            let start = messages.first?.role == .system ? 1 : 0
            guard options.overflow == .dropOldest, first > start else {
                used = nil
                throw CommandError(
                    .contextFull(needed: count + reserve, limit: options.contextLimit), "the context")
            }
            let next = messages[(start + 1)..<first].firstIndex { $0.role == .user } ?? first
            restart(Array(messages[..<start] + messages[next...]))
            first -= next - start
            ByteSink.standardError.report(
                "the context is full: the oldest turn is dropped, \(next - start) messages; \(first - start) are left")
        }
    }

    /// Context usage, and the time of the last answer.
    func report() async throws -> String {
        let messages = conversation.messages
        guard !messages.isEmpty else { return "context: 0 of \(options.contextLimit) tokens" }
        var options = promptOptions
        options.addGenerationPrompt = false
        let prompt = try await pipeline.prompt(messages, options: options)
        var parts: [(name: String, count: Int)] = []
        func add(_ name: String, _ count: Int) { if count > 0 { parts.append((name, count)) } }
        func tokens(_ role: ChatMessage.Role) -> Int {
            messages.filter { $0.role == role }.reduce(0) { $0 + pipeline.tokenizer.encode($1.plainText).count }
        }
        add("instruction", tokens(.system))
        add("you", tokens(.user))
        add("answers", tokens(.assistant))
        add("results of tools", tokens(.tool))
        add("pictures", prompt.softTokenCount(ofImages: true))
        add("sound", prompt.softTokenCount(ofImages: false))
        add("marks, calls and tools", prompt.tokens.count - parts.reduce(0) { $0 + $1.count })
        let limit = self.options.contextLimit
        var text =
            "context: \(prompt.tokens.count) of \(limit) tokens (\(100 * prompt.tokens.count / limit) %): "
            + parts.map { "\($0.name) \($0.count)" }.joined(separator: ", ")
        if let statistics {
            func rate(_ value: Double) -> String { String(format: "%.1f", value) }
            text +=
                "\nlast answer: \(statistics.promptTokens) tokens read at \(rate(statistics.prefillTokensPerSecond))/s, \(statistics.cachedTokens) known from before; \(statistics.generatedTokens) written at \(rate(statistics.decodeTokensPerSecond))/s"
        }
        return text
    }

    // MARK: Commands

    mutating func add(_ part: ContentPart) {
        if case .medium(.audio, _) = part.kind { heard.append(part) } else { seen.append(part) }
    }

    /// The text of the last user message; nil if there is none.
    var lastText: String? { messages.last { $0.role == .user }?.plainText }

    /// Removes the last turn.
    ///
    /// - Returns: its user message; nil if there was none.
    @discardableResult
    mutating func undo() -> ChatMessage? {
        let messages = conversation.messages
        guard let index = messages.lastIndex(where: { $0.role == .user }) else { return nil }
        conversation.reset(keeping: index)
        used = nil
        return messages[index]
    }

    /// Repeats the last turn, with another text if one is given.
    ///
    /// - Returns: whether there was a turn.
    mutating func retry(saying text: String? = nil) async throws -> Bool {
        let before = messages
        guard var message = undo() else { return false }
        if let text { message = message.saying(text) }
        do { try await send(message) } catch {
            restart(before)
            throw error
        }
        return true
    }

    mutating func clear() {
        conversation.reset()
        (seen, heard, used) = ([], [], nil)
    }

    var instruction: String? {
        get { messages.first.flatMap { $0.role == .system ? $0.plainText : nil } }
        set {
            let others = messages.drop { $0.role == .system }
            restart((newValue.map { [ChatMessage(.system, $0)] } ?? []) + others)
        }
    }

    /// - Parameter setting: `on`, `off`, or the maximum number of tokens of a thought.
    /// - Returns: whether the setting is valid.
    mutating func setThinking(_ setting: String) -> Bool {
        switch (setting, Int(setting)) {
        case ("on", _): (promptOptions.thinking, thinkingBudget) = (true, nil)
        case ("off", _): promptOptions.thinking = false
        case (_, let budget?) where budget >= 0: (promptOptions.thinking, thinkingBudget) = (true, budget)
        default: return false
        }
        restart(messages)
        return true
    }

    var tools: String {
        options.tools.isEmpty
            ? "no tools; --tools FILE gives some"
            : options.tools.map { "\($0.name): \($0.usage)" }.joined(separator: "\n")
    }

    /// Saves the conversation: with its KV cache, or only its messages if the name ends in `.json`.
    ///
    /// - Throws: `CommandError`; an error with a diagnosis.
    func save(to file: String) async throws {
        guard Self.isJSON(file) else {
            return try await PromptCache.savingDraft(of: file) { try await conversation.save(to: URL(filePath: file)) }
        }
        if let old = try? Data(contentsOf: URL(filePath: file)), !old.isEmpty,
            (try? ChatMessage.parse(json: old)) == nil
        {
            throw CommandError(.notAConversation, file)
        }
        let lines = messages.map(\.json.json).joined(separator: ",\n ")
        try OutputFile(file).replace(with: Array("[\(lines)]\n".utf8))
    }

    /// Loads a conversation of either kind.
    ///
    /// - Throws: `CommandError`; an error with a diagnosis.
    mutating func load(_ file: String) async throws {
        if PromptCacheFile.begins(file) {
            conversation = try await pipeline.conversation(contentsOf: URL(filePath: file), prompt: promptOptions)
            used = nil
        } else {
            let bytes = try MessagesFile.read(URL(filePath: file), file)
            do throws(ChatError) { restart(try ChatMessage.parse(json: bytes)) } catch {
                throw CommandError(.invalidMessages(error), file)
            }
        }
        (seen, heard) = ([], [])
    }

    private static func isJSON(_ file: String) -> Bool { file.lowercased().hasSuffix(".json") }
}

extension ChatMessage {
    /// Its text, without media.
    fileprivate var plainText: String {
        switch content {
        case .text(let text): text
        case .parts(let parts):
            parts.compactMap { if case .text(let text) = $0.kind { text } else { nil } }.joined(separator: "\n")
        case .value(let value): value.json
        case nil: ""
        }
    }

    /// The same message with its media and a new text.
    fileprivate func saying(_ text: String) -> ChatMessage {
        guard case .parts(let parts) = content else { return ChatMessage(role, text) }
        var said = false
        return ChatMessage(
            role,
            parts: parts.compactMap { part in
                guard case .text = part.kind else { return part }
                defer { said = true }
                return said ? nil : .text(text)
            })
    }
}
