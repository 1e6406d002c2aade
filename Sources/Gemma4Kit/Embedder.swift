import Foundation
import Gemma4
import Generation
import Logging
import Tokenization

/// The input of an embedding.
public enum EmbeddingInput: Sendable {
    case text(String)
    /// Token ids, unchanged: nothing is added before or after them, and none is a placeholder of a medium.
    case tokens([Int])
    case image(ImageInput)
    /// A recording; one longer than 30 s is split at pauses.
    case audio(AudioInput)
    /// A video: one frame per second, at most 32; its sound is ignored.
    case video(VideoInput)
}

/// EmbeddingGemma 2: embeds texts, images, recordings and videos as vectors of unit length. Similar contents have
/// similar vectors, whatever their media; the inner product is the cosine similarity.
///
/// Load it once and share it: concurrent calls are processed one after the other, many inputs per pass.
///
/// Source: transformers, `models/embedding_gemma2`; sentence-transformers for prompts and lengths.
public struct Embedder: Sendable {
    package let pipeline: Gemma4Pipeline
    private let prompts: EmbeddingPrompts

    /// Tokens per batch that is prepared before inference: several passes.
    package static let tokensPerBatch = 4_096

    /// Opens a directory as published on Hugging Face.
    ///
    /// - Parameters:
    ///   - threadCount: threads that share one pass; by default the number of CPUs available to the process.
    ///   - precision: which values are quantized for speed.
    ///   - logger: receives notices for the user about inputs.
    /// - Throws: `CheckpointError`, also if it is not an embedding model; `TokenizerError`, `MelSpectrogramError`.
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

    /// The tasks with a published prompt, for example "query" and "document".
    public var tasks: [String] { prompts.prompts.map(\.task) }

    /// The supported lengths of vectors, longest first: 768, 512, 256 or 128.
    public var dimensions: [Int] {
        let whole = pipeline.model.configuration.textConfig.embeddingDim!
        return [whole] + [512, 256, 128].filter { $0 < whole }
    }

    /// The vectors of many inputs, each of unit length.
    ///
    /// - Parameters:
    ///   - task: the task of the embeddings of texts, one of `tasks`; nil selects the published default, which may
    ///     be no prompt. Media have no prompt.
    ///   - dimensions: the length of each vector, one of `dimensions`; nil: the longest. A shorter vector consists
    ///     of the first elements, renormalized.
    /// - Returns: one vector for each input.
    /// - Throws: `PromptError`, `MediaError`, `ImageProcessorError`, `ModelInputError`, `CancellationError`.
    public func embed(_ inputs: [EmbeddingInput], task: String? = nil, dimensions: Int? = nil) async throws -> [[Float]]
    {
        try await countedEmbeddings(inputs, task: task, dimensions: dimensions).vectors
    }

    /// The same, with the number of processed tokens.
    ///
    /// - Throws: errors of `embed`.
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

    /// The prompt of an input: `<bos>`, the prompt of the task and the text, or a medium, `<eos>`.
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

    /// The vectors of several prompts.
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

    /// Normalizes to unit length; a zero vector stays zero.
    private static func unit(_ numbers: ArraySlice<Float>) -> [Float] {
        let norm = numbers.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        return norm > 0 ? numbers.map { Float(Double($0) / norm) } : Array(numbers)
    }
}
