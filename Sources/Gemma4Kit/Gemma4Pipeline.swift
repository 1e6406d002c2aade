import Foundation
@_exported import Gemma4
@_exported import JSONText
import Logging
@_exported import Media
@_exported import Tensors
@_exported import Tokenization
@_exported import Weights

/// A checkpoint ready for use: model, tokenizer, chat format, processors and defaults of one directory or GGUF file.
///
/// Nothing in it changes after loading: load it once and share it. Weights stay in the mapped files, so loading takes
/// well under a second and no memory; only matrices in blocks of 4 to 8 bits are copied, to be packed for the kernels,
/// and those that `Precision` has rounded.
public struct Gemma4Pipeline: Sendable {
    public let model: Gemma4Model
    public let tokenizer: Tokenizer
    public let chatTemplate: ChatTemplate
    public let generationConfiguration: GenerationConfiguration
    public let processorConfiguration: ProcessorConfiguration
    let melSpectrogram: MelSpectrogram
    let logger: Logger
    private let checkpoint: Checkpoint

    /// Opens a directory as published on Hugging Face, `config.json`, `model.safetensors` or its shards, `tokenizer.json`,
    /// `processor_config.json`, `generation_config.json`, `chat_template.jinja`; or a GGUF file, with the one of its towers.
    ///
    /// - Parameters:
    ///   - url: the directory or the `.gguf` file, which may be any one of several shards.
    ///   - projector: the GGUF file of the towers, `mmproj`; nil takes the one beside the model, if there is exactly one.
    ///   - threadCount: threads that share one forward pass; by default as many as the machine has cores.
    ///   - precision: what may be rounded for speed.
    ///   - logger: told what a user should know, such as an unknown chat template.
    /// - Throws: `CheckpointError`, `TokenizerError`, `MelSpectrogramError`.
    public init(
        contentsOf url: URL, projector: URL? = nil, threadCount: Int? = nil, precision: Precision = .init(),
        logger: Logger = Logger(label: "gemma4")
    ) throws {
        try self.init(
            ModelSource(contentsOf: url, projector: projector), threadCount: threadCount, precision: precision,
            logger: logger)
    }

    /// Reads the model whose files have been opened.
    ///
    /// - Throws: `CheckpointError`, `TokenizerError`, `MelSpectrogramError`.
    public init(
        _ source: ModelSource, threadCount: Int? = nil, precision: Precision = .init(),
        logger: Logger = Logger(label: "gemma4")
    ) throws {
        let configuration = try source.configuration()
        checkpoint = try source.checkpoint(TensorTable(configuration))
        let types = precision.roundedTypes(configuration)
        try precision.check(checkpoint, configuration)
        let weights = WeightScope(checkpoint, on: Device(threadCount: threadCount)) { types[$0] }
        model = try Gemma4Model(
            configuration, weights, activations: precision.activations, towerActivations: precision.towerActivations,
            keyValueType: precision.keyValueType)
        tokenizer = try source.tokenizer()
        generationConfiguration = try source.generationConfiguration(tokenizer)
        processorConfiguration = try source.processorConfiguration()
        melSpectrogram = try MelSpectrogram(processorConfiguration.featureExtractor)
        let template = source.chatTemplate
        chatTemplate = ChatTemplate(
            source: template, isLargeModel: configuration.textConfig.hiddenSizePerLayerInput == 0)
        self.logger = logger
        if case .gguf(let text, nil) = source {
            let towers = ModelSource.projectors(beside: URL(filePath: text.path))
            if !towers.isEmpty {
                logger.warning(
                    "\(text.path): text alone, since it is not clear which of \(towers.joined(separator: ", ")) holds its towers"
                )
            }
        }
        if !chatTemplate.isRecognized {
            logger.warning(
                "\(source.chatTemplatePlace): \(template == nil ? "no chat template" : "an unknown chat template"); using the format of July 2026"
            )
        }
    }

    /// Ids that end an answer: the union of what `config.json` and `generation_config.json` list.
    public var stopTokens: Set<Int> { Set(model.configuration.eosTokenIds + generationConfiguration.eosTokenIds) }

    /// Most soft tokens of one picture, unless the caller says otherwise.
    public var defaultImageTokens: Int { processorConfiguration.imageMaxSoftTokens }

    /// Why the model's numbers are none.
    func notFinite() -> any Error { checkpoint.firstNotFinite() ?? ModelInputError(.notFinite) }

    func sampler(_ options: SamplingOptions) -> Sampler {
        let configuration = model.configuration
        let media = [
            configuration.imageTokenId, configuration.videoTokenId, configuration.audioTokenId,
            configuration.boiTokenId,
            configuration.eoiTokenId, configuration.boaTokenId, configuration.eoaTokenId,
        ]
        return Sampler(
            options, suppressed: Set(generationConfiguration.suppressTokens), media: Set(media.compactMap(\.self)))
    }

    /// A cache whose chunks hold the largest picture where a picture must be read in one piece.
    func makeCache() -> KVCache {
        let needsWholeImages = model.configuration.textConfig.layerPlans.contains(where: \.seesWholeImages)
        let longest = needsWholeImages ? ProcessorConfiguration.softTokenBudgets.max()! : 0
        return model.makeCache(chunkLength: max(Generator.chunkLength, longest))
    }

    // MARK: Answers

    /// Answers a conversation.
    ///
    /// - Parameters:
    ///   - messages: the last one is to be answered.
    ///   - media: the pictures and recordings that the messages name, in order; nil takes them from the files that the
    ///     messages refer to.
    /// - Returns: the tokens as they come. Iterating throws `ChatError`, `PromptError`, `MediaError`,
    ///   `ImageProcessorError`, `ModelInputError` or `CancellationError`.
    public func generate(
        _ messages: [ChatMessage], media: [MediaInput]? = nil, prompt promptOptions: PromptOptions = .init(),
        options: GenerationOptions = .init()
    ) -> TokenStream {
        Conversation(self, prompt: promptOptions).answer(messages, media: media, options: options)
    }

    /// Answers a prompt that has been made before.
    public func generate(_ prompt: Prompt, options: GenerationOptions = .init()) -> TokenStream {
        Conversation(self).answer(prompt, options: options)
    }

    /// A conversation of several turns, which reads every token once.
    public func conversation(system: String? = nil, prompt options: PromptOptions = .init()) -> Conversation {
        Conversation(self, system: system, prompt: options)
    }

    // MARK: Soft tokens

    /// The soft tokens of one picture: what the text model sees of it.
    ///
    /// - Parameter maxTokens: 70, 140, 280, 560 or 1120; by default what the processor's configuration says.
    /// - Returns: `[tokens, hiddenSize]`.
    /// - Throws: `MediaError`, `ImageProcessorError`, `ModelInputError`.
    public func softTokens(_ image: ImageInput, maxTokens: Int? = nil) throws -> Tensor {
        guard let vision = model.configuration.visionConfig else { throw ModelInputError(.noTower("image")) }
        let processor = try ImageProcessor(
            patchSize: vision.patchSize, poolingKernelSize: vision.poolingKernelSize,
            maxSoftTokens: maxTokens ?? defaultImageTokens)
        let pixels = try image.pixels()
        return try model.softTokens(processor(width: pixels.width, height: pixels.height, rgb: pixels.rgb))
    }

    /// The soft tokens of one recording, for each piece of at most 30 s: 25 in a second.
    ///
    /// - Returns: `[tokens, hiddenSize]` for each piece.
    /// - Throws: `MediaError`, `PromptError`, `ModelInputError`.
    public func softTokens(_ audio: AudioInput) throws -> [Tensor] {
        guard model.configuration.audioConfig != nil else { throw ModelInputError(.noTower("audio")) }
        let samples = try audio.samples { notice in
            logger.log(level: notice.isWarning ? .warning : .notice, "\(audio.name): \(notice.text)")
        }
        let pieces = AudioSplitter().pieces(of: samples)
        if pieces.count > 1 {
            logger.notice(
                "a recording of \(samples.count / AudioReader.sampleRate) s is read in \(pieces.count) pieces of at most 30 s"
            )
        }
        return try pieces.map { piece in
            guard melSpectrogram.frameCount(samples: piece.count) > 0 else {
                throw PromptError(.audioTooShort(samples: piece.count))
            }
            return try model.softTokens(melFrames: melSpectrogram(Array(samples[piece])))
        }
    }
}
