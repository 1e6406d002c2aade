import Foundation
import Gemma4
import Generation
import JSONText
import Logging
import Media
import Tensors
import Tokenization
import Weights

/// A loaded checkpoint: model, tokenizer, chat format, processors and defaults of one directory or GGUF file.
///
/// Load it once and share it: concurrent requests go through one engine, which batches them into shared passes over
/// the weights. Weights stay in the mapped files; only quantized matrices are copied, to be packed for the kernels,
/// which takes from half a second to a minute for the largest.
public struct Gemma4Pipeline: Sendable {
    package let model: Gemma4Model
    package let tokenizer: Tokenizer
    package let chatTemplate: ChatTemplate
    package let generationConfiguration: GenerationConfiguration
    package let processorConfiguration: ProcessorConfiguration
    let soundFeatures: SoundFeatures
    let checkpoint: Checkpoint
    let precision: Precision
    let logger: Logger
    package let engine: Engine
    /// Creates the prompts of requests, which includes decoding and resizing media.
    let preparation = BlockingQueue(label: "gemma4.preparation")

    /// Opens a directory as published on Hugging Face, with `config.json`, `model.safetensors` or its shards,
    /// `tokenizer.json`, `processor_config.json`, `generation_config.json`, `chat_template.jinja`; or a GGUF file and
    /// that of its towers.
    ///
    /// - Parameters:
    ///   - url: the directory or the `.gguf` file, which may be any one of several shards.
    ///   - projector: the GGUF file of the towers, `mmproj`; nil selects the one beside the model that belongs to
    ///     it (of several, `mmproj-<model>`, else bf16, f16, f32 or q8_0, in this order).
    ///   - threadCount: threads that share one forward pass; by default the number of CPUs available to the
    ///     process.
    ///   - precision: which values are quantized for speed.
    ///   - limits: the resource limits of its engine.
    ///   - logger: receives notices for the user, for example about an unknown chat template.
    /// - Throws: `CheckpointError`, `TokenizerError`, `MelSpectrogramError`.
    public init(
        contentsOf url: URL, projector: URL? = nil, threadCount: Int? = nil, precision: Precision = .init(),
        limits: EngineLimits? = nil, logger: Logger = Logger(label: "gemma4")
    ) throws {
        try self.init(
            ModelSource(contentsOf: url, projector: projector) { logger.warning("\($0)") }, threadCount: threadCount,
            precision: precision, limits: limits, logger: logger)
    }

    /// Loads a model whose files have been opened.
    ///
    /// - Parameter isEncoder: whether an embedding model is expected, or one that generates text.
    /// - Throws: `CheckpointError`, also if `isEncoder` does not match the model; `TokenizerError`,
    ///   `MelSpectrogramError`.
    package init(
        _ source: ModelSource, threadCount: Int? = nil, precision: Precision = .init(), limits: EngineLimits? = nil,
        isEncoder: Bool = false, logger: Logger = Logger(label: "gemma4")
    ) throws {
        let configuration = try source.configuration()
        try source.check(configuration, isEncoder: isEncoder)
        let checkpoint = try source.checkpoint(TensorTable(configuration))
        (self.checkpoint, self.precision) = (checkpoint, precision)
        let types = precision.roundedTypes(configuration)
        try precision.check(checkpoint, configuration)
        let weights = WeightScope(checkpoint, on: Device(threadCount: threadCount)) { types[$0] }
        model = try Gemma4Model(
            configuration, weights, activations: precision.activations, towerActivations: precision.towerActivations,
            keyValueType: precision.keyValueType)
        tokenizer = try source.tokenizer()
        generationConfiguration = try source.generationConfiguration(tokenizer)
        processorConfiguration = try source.processorConfiguration()
        soundFeatures = try SoundFeatures(configuration, processorConfiguration.featureExtractor)
        let template = source.chatTemplate
        chatTemplate = ChatTemplate(
            source: template, isLargeModel: configuration.textConfig.hiddenSizePerLayerInput == 0)
        self.logger = logger
        let defaults = Self.defaults(model, generationConfiguration, checkpoint) { logger.warning("\($0)") }
        engine = Engine(model, tokenizer, defaults, limits: limits ?? .init())
        if !isEncoder, let notice = chatTemplate.notice(isPresent: template != nil) {
            logger.warning("\(source.chatTemplatePlace): \(notice)")
        }
    }

    /// Stop tokens: the union of those that `config.json` and `generation_config.json` list.
    public var stopTokens: Set<Int> { Set(model.configuration.eosTokenIds + generationConfiguration.eosTokenIds) }

    /// Default maximum of soft tokens per image.
    public var defaultImageTokens: Int { processorConfiguration.imageMaxSoftTokens }

    private static func defaults(
        _ model: Gemma4Model, _ generation: GenerationConfiguration, _ checkpoint: Checkpoint,
        notice: @escaping @Sendable (String) -> Void
    ) -> Engine.AnswerDefaults {
        let configuration = model.configuration
        let media = [
            configuration.imageTokenId, configuration.videoTokenId, configuration.audioTokenId,
            configuration.boiTokenId, configuration.eoiTokenId, configuration.boaTokenId, configuration.eoaTokenId,
        ]
        let notFinite: @Sendable () -> any Error = { checkpoint.firstNotFinite() ?? ModelInputError(.notFinite) }
        return Engine.AnswerDefaults(
            sampling: SamplingOptions(generation), suppressed: Set(generation.suppressTokens),
            media: Set(media.compactMap(\.self)),
            stopTokens: Set(configuration.eosTokenIds + generation.eosTokenIds), notFinite: notFinite, notice: notice)
    }

    /// The current state and the totals of the engine.
    public var statistics: EngineStatistics { get async { await engine.statistics } }

    // MARK: Answers

    /// Answers a conversation.
    ///
    /// - Parameters:
    ///   - messages: the conversation; the model answers the last message.
    ///   - media: the images, recordings and videos that the messages name, in order; nil opens the references in
    ///     the messages: data URLs, and those that the options' resolver accepts.
    /// - Returns: the tokens as they are generated. Iterating throws `ChatError`, `PromptError`, `MediaError`,
    ///   `ImageProcessorError`, `ModelInputError` or `CancellationError`.
    public func generate(
        _ messages: [ChatMessage], media: [MediaInput]? = nil, prompt promptOptions: PromptOptions = .init(),
        options: GenerationOptions = .init()
    ) -> TokenStream {
        engine.answer(options) { try await self.prompt(messages, media: media, options: promptOptions) }
    }

    /// Answers a prompt that has been created before.
    public func generate(_ prompt: Prompt, options: GenerationOptions = .init()) -> TokenStream {
        engine.answer(options) { prompt }
    }

    /// Several answers to one prompt, which is prefilled once. Without a seed each answer has a random one; with a
    /// seed the answers use it and its successors.
    public func generate(_ prompt: Prompt, count: Int, options: GenerationOptions = .init()) -> [TokenStream] {
        (0..<count).map { index in
            var options = options
            options.sampling = options.sampling ?? SamplingOptions(generationConfiguration)
            options.sampling!.seed = options.sampling!.seed.map { $0 &+ UInt64(index) }
            return generate(prompt, options: options)
        }
    }

    /// A conversation of several turns, each of which prefills only what is new.
    ///
    /// - Parameters:
    ///   - messages: earlier messages, for example of a saved conversation.
    ///   - tools: the tools that the model may call; they are declared in addition to those of `options`, which are
    ///     not run.
    ///   - toolRounds: the maximum number of answers with calls per turn; the next answer must not call.
    public func conversation(
        system: String? = nil, messages: [ChatMessage] = [], tools: [any Tool] = [], toolRounds: Int = 10,
        prompt options: PromptOptions = .init()
    ) -> Conversation {
        var options = options
        options.tools += tools.map(\.declaration)
        return Conversation(
            self, (system.map { [ChatMessage(.system, $0)] } ?? []) + messages, prompt: options, tools: tools,
            toolRounds: toolRounds)
    }

    // MARK: Soft tokens

    /// The soft tokens of one image: the text model's input.
    ///
    /// - Parameter maxTokens: 70, 140, 280, 560 or 1120; by default that of the processor's configuration.
    /// - Returns: `[tokens, hiddenSize]`.
    /// - Throws: `MediaError`, `ImageProcessorError`, `ModelInputError`.
    package func softTokens(_ image: ImageInput, maxTokens: Int? = nil) async throws -> Tensor {
        try await softTokens(.image(image), PromptOptions(imageTokens: maxTokens))[0]
    }

    /// The soft tokens of one recording, 25 per second: for each piece of at most 30 s, or in one piece if the model
    /// has no sound encoder.
    ///
    /// - Returns: `[tokens, hiddenSize]` for each piece.
    /// - Throws: `MediaError`, `PromptError`, `ModelInputError`.
    package func softTokens(_ audio: AudioInput) async throws -> [Tensor] {
        try await softTokens(.audio(audio), .init())
    }

    private func softTokens(_ medium: MediaInput, _ options: PromptOptions) async throws -> [Tensor] {
        let pieces = try await preparation.run { try encoderInputs(medium, options).pieces }
        return try await encoded(pieces)
    }

    /// Encodes media.
    func encoded(_ inputs: [EncoderInput]) async throws -> [Tensor] {
        try await engine.encode(inputs)
        return inputs.map { $0.softTokens! }
    }

    /// The processor that converts pixels to the vision tower's input, for a budget of soft tokens.
    ///
    /// - Throws: `ModelInputError` if there is no vision tower, `ImageProcessorError` if the budget is not
    ///   supported.
    func imageProcessor(maxTokens: Int?) throws -> ImageProcessor {
        try ImageProcessor(model.configuration, maxSoftTokens: maxTokens ?? defaultImageTokens)
    }

    func encoderInput(_ pixels: Pixels, maxTokens: Int?) throws -> EncoderInput {
        EncoderInput(
            try imageProcessor(maxTokens: maxTokens)(width: pixels.width, height: pixels.height, rgb: pixels.rgb))
    }

    /// - Parameter samples: mono, at 16 kHz; at most 30 s if the model has a sound encoder.
    func encoderInput(_ samples: [Float]) throws -> EncoderInput {
        guard model.configuration.takesSound else { throw ModelInputError(.noTower("audio")) }
        guard soundFeatures.softTokenCount(samples: samples.count) > 0 else {
            throw PromptError(.audioTooShort(samples: samples.count))
        }
        return try EncoderInput(soundFeatures, samples: samples)
    }
}
