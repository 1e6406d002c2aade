/// A conversation of several turns: it remembers the messages and keeps their keys and values, so that each turn reads
/// only what is new.
///
/// An actor on a queue of its own: turns wait for each other, and no forward pass occupies a thread of Swift's pool.
public actor Conversation {
    private let pipeline: Gemma4Pipeline
    private let promptOptions: PromptOptions
    private let executor = ForwardExecutor()
    private var generator: Generator
    private var encoded: [EncodedMedium] = []
    /// What was said so far.
    public private(set) var messages: [ChatMessage] = []

    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(_ pipeline: Gemma4Pipeline, system: String? = nil, prompt options: PromptOptions = .init()) {
        self.pipeline = pipeline
        promptOptions = options
        generator = Generator(pipeline)
        if let system { messages = [ChatMessage(.system, system)] }
    }

    /// Says something and answers it: pictures and films, then the text, then recordings, as the model was trained.
    ///
    /// A turn that fails or is cancelled leaves the conversation as it was.
    ///
    /// - Returns: the tokens as they come; errors as in `Gemma4Pipeline.generate`.
    public nonisolated func respond(
        to text: String, images: [ImageInput] = [], videos: [VideoInput] = [], audio: [AudioInput] = [],
        options: GenerationOptions = .init()
    ) -> TokenStream {
        let seen = images.map { _ in ContentPart.image() } + videos.map { _ in ContentPart.video() }
        let parts = seen + [.text(text)] + audio.map { _ in ContentPart.audio() }
        let media = images.map(MediaInput.image) + videos.map(MediaInput.video) + audio.map(MediaInput.audio)
        return TokenStream { yield in
            try await self.say(ChatMessage(.user, parts: parts), media, options, yield)
        }
    }

    /// Answers these messages.
    nonisolated func answer(_ messages: [ChatMessage], media: [MediaInput]?, options: GenerationOptions) -> TokenStream
    {
        TokenStream { yield in try await self.run(messages, media, options, yield) }
    }

    /// Answers a prompt that has been made before.
    nonisolated func answer(_ prompt: Prompt, options: GenerationOptions) -> TokenStream {
        TokenStream { yield in try await self.run(prompt, options, yield) }
    }

    private func say(
        _ message: ChatMessage, _ media: [MediaInput], _ options: GenerationOptions,
        _ yield: @Sendable (GeneratedToken) -> Void
    ) throws {
        let said = messages + [message]
        var encoded = encoded
        for medium in media { encoded.append(try pipeline.encode(medium, promptOptions)) }
        let prompt = try pipeline.prompt(said, media: nil, options: promptOptions, encoded: &encoded)
        var answer = Answer()
        try generator.generate(prompt, options) { token in
            answer.append(token)
            yield(token)
        }
        messages = said + [answer.message]
        self.encoded = encoded
    }

    private func run(
        _ messages: [ChatMessage], _ media: [MediaInput]?, _ options: GenerationOptions,
        _ yield: @Sendable (GeneratedToken) -> Void
    ) throws {
        try generator.generate(pipeline.prompt(messages, media: media, options: promptOptions), options, yield: yield)
    }

    private func run(_ prompt: Prompt, _ options: GenerationOptions, _ yield: @Sendable (GeneratedToken) -> Void) throws
    {
        try generator.generate(prompt, options, yield: yield)
    }
}
