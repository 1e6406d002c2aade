import Foundation
import Gemma4
import Generation
import Logging
import Tokenization

/// What an embedding is made of.
public enum EmbeddingInput: Sendable {
    case text(String)
    /// Ids of tokens as the model reads them: nothing is put before or after them, and none stands for a medium.
    case tokens([Int])
    case image(ImageInput)
    /// A recording; one of more than 30 s is heard in pieces, cut at pauses.
    case audio(AudioInput)
    /// A film: a frame a second, 32 at most; its sound is not heard.
    case video(VideoInput)
}

/// EmbeddingGemma 2, ready for use: texts, pictures, recordings and films as vectors of unit length, of which those of similar
/// content lie close together, whatever their media. Their inner product is the cosine.
///
/// Load it once and share it: whatever is asked of it at the same time is done one after the other, many inputs in a pass.
///
/// Source: transformers, `models/embedding_gemma2`; sentence-transformers for prompts and lengths.
public struct Embedder: Sendable {
    package let pipeline: Gemma4Pipeline
    private let prompts: EmbeddingPrompts

    /// Tokens that are prepared before they go through the model: some passes' worth.
    package static let tokensPerBatch = 4_096

    /// Opens a directory as published on Hugging Face.
    ///
    /// - Parameters:
    ///   - threadCount: threads that share one pass; by default as many as the machine has cores.
    ///   - precision: what may be rounded for speed.
    ///   - logger: told what a user should know of an input.
    /// - Throws: `CheckpointError`, also if it is another model; `TokenizerError`, `MelSpectrogramError`.
    public init(
        contentsOf url: URL, threadCount: Int? = nil, precision: Precision = .init(),
        logger: Logger = Logger(label: "gemma4")
    ) throws {
        try self.init(ModelSource(contentsOf: url), threadCount: threadCount, precision: precision, logger: logger)
    }

    package init(
        _ source: ModelSource, threadCount: Int? = nil, precision: Precision = .init(),
        logger: Logger = Logger(label: "gemma4")
    ) throws {
        pipeline = try Gemma4Pipeline(
            source, threadCount: threadCount, precision: precision, isEncoder: true, logger: logger)
        prompts = try source.embeddingPrompts()
    }

    /// The tasks for which a prompt was published, "query" and "document" say.
    public var tasks: [String] { prompts.prompts.map(\.task) }

    /// How long vectors can be, longest first: 768, 512, 256 or 128.
    public var dimensions: [Int] {
        let whole = pipeline.model.configuration.textConfig.embeddingDim!
        return [whole] + [512, 256, 128].filter { $0 < whole }
    }

    /// The vectors of many inputs, each of unit length.
    ///
    /// - Parameters:
    ///   - task: what the embeddings of texts are for, one of `tasks`; nil takes the published default, which may be no prompt.
    ///     Media have none.
    ///   - dimensions: how long each is, one of `dimensions`; nil: the longest. A shorter one has the first of the numbers.
    /// - Returns: one vector for each input.
    /// - Throws: `PromptError`, `MediaError`, `ImageProcessorError`, `ModelInputError`, `CancellationError`.
    public func embed(_ inputs: [EmbeddingInput], task: String? = nil, dimensions: Int? = nil) async throws -> [[Float]]
    {
        try await countedEmbeddings(inputs, task: task, dimensions: dimensions).vectors
    }

    /// The same, with the number of tokens that the model has read.
    ///
    /// - Throws: as `embed`.
    package func countedEmbeddings(
        _ inputs: [EmbeddingInput], task: String? = nil, dimensions: Int? = nil, limits: PromptOptions = .init()
    ) async throws -> (vectors: [[Float]], tokenCount: Int) {
        _ = (try prompts(task), try length(dimensions))
        var vectors: [[Float]] = []
        var batch: [Prompt] = []
        var (batchTokens, tokenCount) = (0, 0)
        for input in inputs {
            let prompt = try await prompt(input, task: task, limits: limits)
            if !batch.isEmpty, batchTokens + prompt.tokens.count > Self.tokensPerBatch {
                vectors += try await embed(batch, dimensions: dimensions)
                (batch, batchTokens) = ([], 0)
            }
            batch.append(prompt)
            batchTokens += prompt.tokens.count
            tokenCount += prompt.tokens.count
        }
        return (vectors + (try await embed(batch, dimensions: dimensions)), tokenCount)
    }

    /// The vector of one text.
    ///
    /// - Throws: `PromptError`, `ModelInputError`, `CancellationError`.
    public func embed(_ text: String, task: String? = nil, dimensions: Int? = nil) async throws -> [Float] {
        try await embed([.text(text)], task: task, dimensions: dimensions)[0]
    }

    // MARK: Parts

    /// What the model reads of an input: `<bos>`, the prompt of the task and the text, or a medium, `<eos>`.
    ///
    /// - Throws: `PromptError`, `MediaError`, `ImageProcessorError`, `ModelInputError`, `CancellationError`.
    package func prompt(
        _ input: EmbeddingInput, task: String? = nil, limits: PromptOptions = .init()
    ) async throws -> Prompt {
        let instruction = try prompts(task)
        return try await pipeline.preparation.run { [pipeline] in
            func framed(_ piece: RenderedPrompt.Piece, _ media: [PreparedMedium] = []) throws -> Prompt {
                try pipeline.expand(RenderedPrompt([.control("<bos>"), piece, .control("<eos>")]), media)
            }
            func framed(_ input: MediaInput) throws -> Prompt {
                let medium = try pipeline.encoderInputs(input, limits)
                return try framed(.medium(medium.medium, reference: nil), [medium])
            }
            let prompt =
                switch input {
                case .text(let text): try framed(.text(instruction + text))
                case .tokens(let ids): Prompt(tokens: ids)
                case .image(let image): try framed(MediaInput.image(image))
                case .audio(let audio): try framed(MediaInput.audio(audio))
                case .video(let video): try framed(MediaInput.video(video))
                }
            guard !prompt.tokens.isEmpty else { throw ModelInputError(.emptyPrompt) }
            try pipeline.model.check(
                prompt.tokens, at: 0, softTokenCount: prompt.media.reduce(0) { $0 + $1.input.softTokenCount })
            return prompt
        }
    }

    /// The vectors of some prompts.
    ///
    /// - Throws: `PromptError`, `ModelInputError`, `CancellationError`.
    package func embed(_ prompts: [Prompt], dimensions: Int? = nil) async throws -> [[Float]] {
        let length = try length(dimensions)
        guard !prompts.isEmpty else { return [] }
        try await pipeline.engine.encode(prompts.flatMap { $0.media.map(\.input) })
        try Task.checkCancellation()
        let embeddings = try await pipeline.engine.embeddings(prompts)
        return (0..<embeddings.rows).map { Self.unit(embeddings[$0].toArray().prefix(length)) }
    }

    private func length(_ dimensions: Int?) throws(PromptError) -> Int {
        let known = self.dimensions
        guard let dimensions else { return known[0] }
        guard known.contains(dimensions) else { throw PromptError(.noSuchDimensions(dimensions, known: known)) }
        return dimensions
    }

    /// Brought to unit length; zeros stay.
    private static func unit(_ numbers: ArraySlice<Float>) -> [Float] {
        let norm = numbers.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        return norm > 0 ? numbers.map { Float(Double($0) / norm) } : Array(numbers)
    }
}
