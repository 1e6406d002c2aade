import Foundation
import Gemma4
import Generation
import Synchronization
import Tokenization

/// A conversation of several turns: a history, and a handle to the engine, which keeps the keys and values of earlier
/// turns.
///
/// A conversation with tools runs the model's calls and continues until the model answers without a call, or has made
/// calls in `toolRounds` answers; the next answer must not call.
///
/// Turns are serialized. A turn that fails, is cancelled or is left before its end does not change the history.
public final class Conversation: Sendable {
    private let pipeline: Gemma4Pipeline
    private let promptOptions: PromptOptions
    private let tools: [any Tool]
    private let toolRounds: Int
    private let state: Mutex<State>

    private struct State: Sendable {
        var messages: [ChatMessage]
        var media: [PreparedMedium] = []
        /// The token ids of the conversation, as prefilled and generated.
        var tokens: [Int] = []
        /// The last prompt, the ids of its answer, and the number of messages at that time.
        var last: (prompt: Prompt, answer: [Int], count: Int)?
        /// The most recently started turn.
        var lastTurn: Task<Void, Never>?
    }

    init(
        _ pipeline: Gemma4Pipeline, _ messages: [ChatMessage], prompt options: PromptOptions, tools: [any Tool] = [],
        toolRounds: Int = 0, media: [PreparedMedium] = [], tokens: [Int] = []
    ) {
        (self.pipeline, self.tools, self.toolRounds) = (pipeline, tools, toolRounds)
        promptOptions = options
        state = Mutex(State(messages: messages, media: media, tokens: tokens))
    }

    private init(_ other: Conversation, tools: [any Tool]) {
        (pipeline, promptOptions, self.tools) = (other.pipeline, other.promptOptions, tools)
        toolRounds = other.toolRounds
        var copy = other.state.withLock { $0 }
        copy.lastTurn = nil
        state = Mutex(copy)
    }

    /// The messages so far.
    public var messages: [ChatMessage] { state.withLock { $0.messages } }

    /// A conversation with the same history, which continues independently. The common history is shared in memory.
    public func fork() -> Conversation { Conversation(self, tools: tools) }

    /// Removes all but the first `count` messages; by default all but a system message at the start.
    public func reset(keeping count: Int? = nil) {
        state.withLock { state in
            let kept = count ?? (state.messages.first?.role == .system ? 1 : 0)
            state.messages = Array(state.messages.prefix(kept))
            let media = state.messages.reduce(0) { $0 + $1.mediaCount }
            state.media = Array(state.media.prefix(media))
        }
    }

    /// Saves the conversation with its keys and values, for `Gemma4Pipeline.conversation(contentsOf:)`. Images,
    /// videos and recordings are not in the file, but their keys and values are: the media are opened again, by the
    /// references in the messages, only if a later turn diverges before them.
    ///
    /// The file is renamed into place when complete; it replaces only files of this format.
    ///
    /// - Throws: an error with a diagnosis if it cannot be written.
    public func save(to url: URL) async throws {
        try PromptCacheFile.checkReplaceable(url.path, byConversation: true)
        let (prompt, said) = try await pipeline.preparation.run { [self] in
            let now = state.withLock { $0 }
            var (prepared, options) = (now.media, promptOptions)
            options.addGenerationPrompt = false
            let prompt =
                now.messages.isEmpty
                ? Prompt(tokens: [])
                : try pipeline.prompt(now.messages, media: nil, options: options, prepared: &prepared)
            return (
                prompt.keepingTokens(of: now.tokens, pipeline.tokenizer),
                PromptCacheFile.Conversation(now.messages, prepared)
            )
        }
        let states = await pipeline.engine.states(of: prompt.units)
        try await pipeline.preparation.run { [self] in
            try PromptCacheFile(prompt, states, conversation: said).write(to: url.path, of: pipeline.identity)
        }
    }

    // MARK: Turns

    /// Sends a message and waits for the answer. Images and videos precede the text, recordings follow it, as in
    /// training.
    ///
    /// - Throws: errors as in `Gemma4Pipeline.generate`.
    public func respond(
        to text: String, images: [ImageInput] = [], videos: [VideoInput] = [], audio: [AudioInput] = [],
        options: GenerationOptions = .init()
    ) async throws -> Answer {
        try await streamResponse(to: text, images: images, videos: videos, audio: audio, options: options).answer()
    }

    /// Sends a message and streams the answer token by token.
    ///
    /// - Returns: the tokens as they are generated; errors as in `Gemma4Pipeline.generate`.
    public func streamResponse(
        to text: String, images: [ImageInput] = [], videos: [VideoInput] = [], audio: [AudioInput] = [],
        options: GenerationOptions = .init()
    ) -> TokenStream {
        let seen = images.map { _ in ContentPart.image() } + videos.map { _ in ContentPart.video() }
        let parts = seen + [.text(text)] + audio.map { _ in ContentPart.audio() }
        let media = images.map(MediaInput.image) + videos.map(MediaInput.video) + audio.map(MediaInput.audio)
        return streamResponse(to: [ChatMessage(.user, parts: parts)], media: media, options: options)
    }

    /// Adds messages, for example the results of tool calls, and waits for the answer.
    public func respond(
        to messages: [ChatMessage], media: [MediaInput] = [], options: GenerationOptions = .init()
    ) async throws -> Answer {
        try await streamResponse(to: messages, media: media, options: options).answer()
    }

    /// Adds messages, for example the results of tool calls, and streams the answer token by token.
    ///
    /// Tool results without a call id are assigned to the calls in order.
    ///
    /// - Parameter media: the images, recordings and videos that these messages name, in order; empty if the
    ///   messages contain references and the prompt options have a resolver.
    public func streamResponse(
        to messages: [ChatMessage], media: [MediaInput] = [], options: GenerationOptions = .init()
    ) -> TokenStream {
        let (turn, end) = AsyncStream.makeStream(of: Never.self)
        let earlier = state.withLock { state in
            defer { state.lastTurn = Task { for await _ in turn {} } }
            return state.lastTurn
        }
        guard tools.isEmpty else {
            return TokenStream { [self] yield in
                defer { end.finish() }
                await earlier?.value
                try await runTurn(messages, media, options, yield)
            }
        }
        let said = Mutex<Turn?>(nil)
        return pipeline.engine.answer(options) { [self] result in
            if case .success(let answer) = result, let turn = said.withLock({ $0 }) { finish(turn, answer) }
            end.finish()
        } preparing: { [self] in
            await earlier?.value
            let turn = try await pipeline.preparation.run { [self] in try prepare(messages, media) }
            said.withLock { $0 = turn }
            return turn.prompt
        }
    }

    /// Runs a turn, including its tool calls. Only a completed turn changes the history.
    private func runTurn(
        _ messages: [ChatMessage], _ media: [MediaInput], _ options: GenerationOptions,
        _ yield: @Sendable (GeneratedToken) -> Void
    ) async throws {
        let draft = Conversation(self, tools: [])
        var (messages, media, options) = (messages, media, options)
        for round in 0...max(0, toolRounds) {
            if round > 0, options.toolChoice.mustCall { options.toolChoice = .auto }
            if round == toolRounds { options.toolChoice = .none }
            var answer = Answer()
            var end: GeneratedToken?
            for try await token in draft.streamResponse(to: messages, media: media, options: options) {
                answer.append(token)
                if token.finish == nil { yield(token) } else { end = token }
            }
            try Task.checkCancellation()
            guard let last = end else { return }
            let calls = answer.finish?.toolCalls ?? []
            guard !calls.isEmpty, round < toolRounds else {
                adopt(draft)
                return yield(last)
            }
            yield(last.withoutFinish)
            messages = try await tools.results(of: calls)
            media = []
        }
    }

    /// Replaces the state by that of another conversation.
    private func adopt(_ other: Conversation) {
        let end = other.state.withLock { $0 }
        state.withLock {
            ($0.messages, $0.media, $0.tokens, $0.last) = (end.messages, end.media, end.tokens, end.last)
        }
    }

    /// The state that a completed turn adds to the conversation.
    private struct Turn: Sendable {
        let messages: [ChatMessage]
        let media: [PreparedMedium]
        let prompt: Prompt
    }

    /// The prompt of the last answer; nil before the first.
    package var lastPrompt: Prompt? { state.withLock { $0.last?.prompt } }

    /// The prompt that these messages would result in.
    ///
    /// - Throws: errors of `Gemma4Pipeline.prompt`.
    package func prompt(adding messages: [ChatMessage]) async throws -> Prompt {
        try await pipeline.preparation.run { [self] in try prepare(messages, []).prompt }
    }

    private func prepare(_ messages: [ChatMessage], _ media: [MediaInput]) throws -> Turn {
        let before = state.withLock { $0 }
        let said = Self.paired(before.messages, messages)
        var prepared = before.media
        for medium in media { prepared.append(try pipeline.encoderInputs(medium, promptOptions)) }
        let prompt = try pipeline.prompt(said, media: nil, options: promptOptions, prepared: &prepared)
        return Turn(
            messages: said, media: prepared, prompt: try goingOn(prompt, before, messages, said, &prepared))
    }

    /// The prompt, with the ids that have already been prefilled or generated, so that their keys and values are
    /// reused.
    private func goingOn(
        _ prompt: Prompt, _ before: State, _ messages: [ChatMessage], _ said: [ChatMessage],
        _ prepared: inout [PreparedMedium]
    ) throws -> Prompt {
        // After tool calls the model continues its open turn, with the call's ids as generated.
        if let last = before.last, last.count == before.messages.count, !messages.isEmpty,
            messages.allSatisfy({ $0.role == .tool }),
            pipeline.chatTemplate.generation > .release,
            let callEnd = pipeline.tokenizer.specialTokens["<tool_call|>"],
            let end = last.answer.lastIndex(of: callEnd),
            last.answer[(end + 1)...].allSatisfy(pipeline.tokenizer.specialTokens.contains)
        {
            // The template would render text before a call after the results.
            var told = said
            told[before.messages.count - 1].content = nil
            let results = try pipeline.prompt(told, media: nil, options: promptOptions, prepared: &prepared)
            if let start = results.tokens.lastIndex(of: callEnd) {
                return results.replacingStart(
                    upTo: start + 1, by: last.prompt, and: Array(last.answer[...end]))
            }
        }
        return prompt.keepingTokens(of: before.tokens, pipeline.tokenizer)
    }

    /// Assigns tool results without a call id to the calls of the last message, in order.
    package static func paired(_ before: [ChatMessage], _ new: [ChatMessage]) -> [ChatMessage] {
        var said = before + new
        guard let last = before.indices.last, before[last].toolCalls.allSatisfy({ $0.id == nil }) else { return said }
        let results = said.indices[(last + 1)...].prefix { said[$0].role == .tool && said[$0].toolCallId == nil }
        guard results.count <= before[last].toolCalls.count else { return said }
        for (call, result) in results.enumerated() {
            let id = "call_\(last)_\(call)"
            said[last].toolCalls[call].id = id
            said[result].toolCallId = id
        }
        return said
    }

    private func finish(_ turn: Turn, _ answer: Answer) {
        state.withLock { state in
            state.messages = turn.messages + [answer.message]
            state.media = turn.media
            state.tokens = turn.prompt.tokens + answer.tokens
            state.last = (turn.prompt, answer.tokens, state.messages.count)
        }
    }
}

extension Prompt {
    /// The prompt from `position`, appended to another prompt and its answer.
    fileprivate func replacingStart(upTo position: Int, by prompt: Prompt, and answer: [Int]) -> Prompt {
        let start = prompt.tokens + answer
        let shift = start.count - position
        let later = media.filter { $0.positions.lowerBound >= position }
            .map { ($0.positions.lowerBound + shift..<$0.positions.upperBound + shift, $0.input) }
        return Prompt(
            text: text, tokens: start + tokens[position...], media: prompt.media + later, opensThought: opensThought,
            allowsThought: allowsThought, tools: tools)
    }

    /// The same text with the ids of an earlier turn. The model may tokenize a text differently than the tokenizer
    /// does: with its ids, keys and values are reused.
    func keepingTokens(of earlier: [Int], _ tokenizer: Tokenizer) -> Prompt {
        var prompt = self
        var index = 0
        var start = 0  // of the text between two control tokens
        while index < min(prompt.tokens.count, earlier.count) {
            if prompt.tokens[index] == earlier[index] {
                if tokenizer.specialTokens.contains(earlier[index]) { start = index + 1 }
                index += 1
                continue
            }
            func end(_ ids: [Int]) -> Int {
                ids[start...].firstIndex(where: tokenizer.specialTokens.contains) ?? ids.count
            }
            let (mine, theirs) = (start..<end(prompt.tokens), start..<end(earlier))
            // If both texts have ended, the control tokens differ: the conversations diverge here.
            guard !mine.isEmpty, !theirs.isEmpty, index < max(mine.upperBound, theirs.upperBound),
                tokenizer.decode(Array(prompt.tokens[mine])) == tokenizer.decode(Array(earlier[theirs]))
            else { break }
            prompt = prompt.replacingTokens(mine, with: Array(earlier[theirs]))
            index = theirs.upperBound
        }
        return prompt
    }
}

extension ChatMessage {
    fileprivate var mediaCount: Int {
        guard case .parts(let parts) = content else { return 0 }
        return parts.count { if case .medium = $0.kind { true } else { false } }
    }
}
