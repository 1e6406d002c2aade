import Gemma4
import Generation
import Synchronization
import Tokenization

/// A conversation of several turns: a history, and a way to the engine, which keeps the keys and values of earlier turns.
///
/// Turns wait for each other. A turn that fails, is cancelled or is left before its end leaves the history as it was.
public final class Conversation: Sendable {
    private let pipeline: Gemma4Pipeline
    private let promptOptions: PromptOptions
    private let state: Mutex<State>

    private struct State: Sendable {
        var messages: [ChatMessage]
        var media: [PreparedMedium] = []
        /// The ids of the last prompt and of its answer, as the model read and wrote them.
        var tokens: [Int] = []
        /// The turn that was begun last.
        var lastTurn: Task<Void, Never>?
    }

    init(_ pipeline: Gemma4Pipeline, _ messages: [ChatMessage], prompt options: PromptOptions) {
        self.pipeline = pipeline
        promptOptions = options
        state = Mutex(State(messages: messages))
    }

    private init(_ pipeline: Gemma4Pipeline, _ options: PromptOptions, _ state: State) {
        (self.pipeline, promptOptions) = (pipeline, options)
        self.state = Mutex(state)
    }

    /// What was said so far.
    public var messages: [ChatMessage] { state.withLock { $0.messages } }

    /// A conversation with the same history, which goes on by itself. What both have said so far is in memory once.
    public func fork() -> Conversation {
        Conversation(
            pipeline, promptOptions, state.withLock { State(messages: $0.messages, media: $0.media, tokens: $0.tokens) }
        )
    }

    /// Forgets all but the first messages; by default all but an instruction at the beginning.
    public func reset(keeping count: Int? = nil) {
        state.withLock { state in
            let kept = count ?? (state.messages.first?.role == .system ? 1 : 0)
            state.messages = Array(state.messages.prefix(kept))
            let media = state.messages.reduce(0) { $0 + $1.mediaCount }
            state.media = Array(state.media.prefix(media))
        }
    }

    // MARK: Turns

    /// Says something and waits for the answer: pictures and films, then the text, then recordings, as the model was
    /// trained.
    ///
    /// - Throws: errors as in `Gemma4Pipeline.generate`.
    public func respond(
        to text: String, images: [ImageInput] = [], videos: [VideoInput] = [], audio: [AudioInput] = [],
        options: GenerationOptions = .init()
    ) async throws -> Answer {
        try await streamResponse(to: text, images: images, videos: videos, audio: audio, options: options).answer()
    }

    /// Says something and answers it token by token.
    ///
    /// - Returns: the tokens as they come; errors as in `Gemma4Pipeline.generate`.
    public func streamResponse(
        to text: String, images: [ImageInput] = [], videos: [VideoInput] = [], audio: [AudioInput] = [],
        options: GenerationOptions = .init()
    ) -> TokenStream {
        let seen = images.map { _ in ContentPart.image() } + videos.map { _ in ContentPart.video() }
        let parts = seen + [.text(text)] + audio.map { _ in ContentPart.audio() }
        let media = images.map(MediaInput.image) + videos.map(MediaInput.video) + audio.map(MediaInput.audio)
        return streamResponse(to: [ChatMessage(.user, parts: parts)], media: media, options: options)
    }

    /// Adds messages, for example the results of tools that were called, and waits for the answer.
    public func respond(
        to messages: [ChatMessage], media: [MediaInput] = [], options: GenerationOptions = .init()
    ) async throws -> Answer {
        try await streamResponse(to: messages, media: media, options: options).answer()
    }

    /// Adds messages, for example the results of tools that were called, and answers them token by token.
    ///
    /// - Parameter media: the pictures, recordings and films that these messages name, in order.
    public func streamResponse(
        to messages: [ChatMessage], media: [MediaInput] = [], options: GenerationOptions = .init()
    ) -> TokenStream {
        let (turn, end) = AsyncStream.makeStream(of: Never.self)
        let earlier = state.withLock { state in
            defer { state.lastTurn = Task { for await _ in turn {} } }
            return state.lastTurn
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

    /// What a turn adds to the conversation once it is over.
    private struct Turn: Sendable {
        let messages: [ChatMessage]
        let media: [PreparedMedium]
        let prompt: Prompt
    }

    private func prepare(_ messages: [ChatMessage], _ media: [MediaInput]) throws -> Turn {
        let before = state.withLock { $0 }
        let said = before.messages + messages
        var prepared = before.media
        for medium in media { prepared.append(try pipeline.encoderInputs(medium, promptOptions)) }
        let prompt = try pipeline.prompt(said, media: nil, options: promptOptions, prepared: &prepared)
        return Turn(
            messages: said, media: prepared,
            prompt: prompt.keepingTokens(of: before.tokens, pipeline.tokenizer))
    }

    private func finish(_ turn: Turn, _ answer: Answer) {
        state.withLock { state in
            state.messages = turn.messages + [answer.message]
            state.media = turn.media
            state.tokens = turn.prompt.tokens + answer.tokens
        }
    }
}

extension Prompt {
    /// The same text with the ids that an earlier turn read and wrote for it. The model may spell a text by other tokens than
    /// the tokenizer would: taken as they are, nothing has to be read again.
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
            // Where both texts are over, control tokens differ: from here on it is another conversation.
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
