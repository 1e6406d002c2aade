import Tensors
import Weights

/// Gemma 4: token ids, images and sound in; logits, or embeddings, out. One graph for all variants, built from the
/// configuration.
///
/// Weights are mapped from the checkpoint's files; quantized matrices are packed in memory if `activations` is int8.
/// The model is immutable after loading, so any number of conversations may use it concurrently, each with its own
/// `KVCache`.
package struct Gemma4Model: Sendable {
    package let configuration: ModelConfiguration
    package let device: Device
    /// The type of cached keys and values.
    package let keyValueType: KeyValueType
    /// Quantization steps of the layers that own keys and values, for int8 caches.
    private let keyValueSteps: [Int: KeyValueSteps]
    let decoder: Decoder
    let vision: (tower: VisionTower, embedder: MultimodalEmbedder)?
    let audio: (tower: AudioTower, embedder: MultimodalEmbedder)?
    /// The 12B's replacement of the towers.
    let unifiedVision: UnifiedVisionEmbedder?
    let unifiedAudio: MultimodalEmbedder?

    /// One sequence's rows of a forward pass.
    package struct Input {
        /// Token ids, with one placeholder id for each soft token.
        package var tokens: [Int]
        /// The soft tokens at those placeholders, in order, `[n, hiddenSize]`; nil if there are none.
        package var softTokens: Tensor?
        /// The rows whose output is needed, ascending.
        package var wantedRows: [Int]
        /// Keys and values of the preceding tokens; those of `tokens` are appended. Nil for an encoder, which keeps
        /// none.
        package var cache: KVCache?

        package init(tokens: [Int], softTokens: Tensor? = nil, wantedRows: [Int], cache: KVCache?) {
            (self.tokens, self.softTokens, self.wantedRows, self.cache) = (tokens, softTokens, wantedRows, cache)
        }
    }

    /// - Parameters:
    ///   - weights: the root of the checkpoint.
    ///   - activations: the type of the activations that the decoder's quantized weights are multiplied by.
    ///   - towerActivations: the same for the clipped linears of the towers.
    ///   - keyValueType: how caches store keys and values; nil selects f16 if the decoder has quantized weights and
    ///     int8 activations, whose error is far larger than that of f16, and f32 otherwise.
    /// - Throws: `CheckpointError` naming the tensor, if one is missing or has another shape.
    package init(
        _ configuration: ModelConfiguration, _ weights: WeightScope, activations: Activations = .int8,
        towerActivations: Activations = .float32, keyValueType: KeyValueType? = nil
    ) throws {
        self.configuration = configuration
        let matrices = weights.multiplied(by: activations)
        device = weights.device
        let text = configuration.textConfig
        let language = matrices["model"]["language_model"]
        let head: Weight? =
            if let embeddingDim = text.embeddingDim {
                try language["embedding_projection"].weight("weight", [embeddingDim, text.hiddenSize])
            } else if !configuration.tieWordEmbeddings {
                try matrices["lm_head"].weight("weight", [text.vocabSize, text.hiddenSize])
            } else {
                nil
            }
        decoder = try Decoder(text, language, head: head)
        let isRounded = decoder.layers[0].attention.queryProjection.weight.isPacked
        self.keyValueType = keyValueType ?? (isRounded ? .float16 : .float32)
        keyValueSteps = try keyValueType == .int8 ? Self.keyValueSteps(decoder.plans, weights) : [:]
        let model = weights["model"]
        vision = try configuration.visionConfig.map {
            (
                try VisionTower($0, model["vision_tower"], activations: towerActivations),
                try MultimodalEmbedder($0.hiddenSize, text.hiddenSize, eps: $0.rmsNormEps, model["embed_vision"])
            )
        }
        audio = try configuration.audioConfig.map {
            (
                try AudioTower($0, model["audio_tower"], activations: towerActivations),
                try MultimodalEmbedder($0.outputProjDims, text.hiddenSize, eps: $0.rmsNormEps, model["embed_audio"])
            )
        }
        unifiedVision = try configuration.unifiedVisionConfig.map {
            try UnifiedVisionEmbedder($0, text.hiddenSize, model)
        }
        unifiedAudio = try configuration.unifiedAudioConfig.map {
            try MultimodalEmbedder($0.audioEmbedDim, text.hiddenSize, eps: $0.rmsNormEps, model["embed_audio"])
        }
    }

    /// Runs the tokens of several sequences in one pass over the weights.
    ///
    /// - Returns: the wanted rows of all sequences, in order, after the final norm, `[wanted, hiddenSize]`; see
    ///   `logits`.
    /// - Throws: `ModelInputError`, before any cache has changed.
    package func callAsFunction(_ inputs: [Input]) throws -> Tensor {
        decoder(try inputs.map(decoderInput))
    }

    /// Rows of an encoder's pass: few enough that a layer's activations stay in the cores' caches, enough that the
    /// weights are rarely read.
    private static let rowsPerPass = 512

    /// The embeddings of several sequences, batched into passes: the mean over all positions of the encoder's output,
    /// projected, not normalized to unit length. (The projection is linear, so that of the mean is the mean of the
    /// projections.)
    ///
    /// Source: transformers, `modeling_embedding_gemma2.py`, `EmbeddingGemma2TextModel`; sentence-transformers,
    /// `Pooling`.
    ///
    /// - Parameter inputs: at least one; a sequence with more rows than a pass gets its own pass.
    /// - Returns: `[sequences, embeddingDim]`.
    /// - Throws: `ModelInputError`.
    package func embeddings(_ inputs: [(tokens: [Int], softTokens: Tensor?)]) throws -> Tensor {
        var means: [Tensor] = []
        var first = 0
        while first < inputs.count {
            var (end, rows) = (first + 1, inputs[first].tokens.count)
            while end < inputs.count, rows + inputs[end].tokens.count <= Self.rowsPerPass {
                rows += inputs[end].tokens.count
                end += 1
            }
            means.append(try meansOfRows(inputs[first..<end]))
            first = end
        }
        return logits(.concatenated(means))
    }

    /// The means over the rows of each sequence, computed in one pass: `[sequences, hiddenSize]`.
    private func meansOfRows(_ inputs: ArraySlice<(tokens: [Int], softTokens: Tensor?)>) throws -> Tensor {
        let hidden = try self(
            inputs.map {
                Input(tokens: $0.tokens, softTokens: $0.softTokens, wantedRows: Array($0.tokens.indices), cache: nil)
            })
        let counts = inputs.map(\.tokens.count)
        var means = Tensor(zeros: [counts.count, hidden.columns], on: device)
        means.addRows(
            at: counts.enumerated().flatMap { Array(repeating: $0, count: $1) }, hidden,
            weights: counts.flatMap { Array(repeating: 1 / Float($0), count: $0) })
        return means
    }

    /// The logits of rows after the final norm, soft-capped: `[rows, hiddenSize]` to `[rows, vocabSize]`.
    package func logits(_ hidden: Tensor) -> Tensor { decoder.logits(hidden) }

    /// An empty cache for one sequence.
    package func makeCache() -> KVCache {
        KVCache(decoder.plans, type: keyValueType, steps: keyValueSteps)
    }

    /// The quantization steps of a checkpoint's keys and values.
    ///
    /// - Throws: `CheckpointError` naming the tensor, if one is missing or not a positive finite number.
    private static func keyValueSteps(_ plans: [LayerPlan], _ weights: WeightScope) throws -> [Int: KeyValueSteps] {
        var steps: [Int: KeyValueSteps] = [:]
        for plan in plans where plan.ownsKeyValues {
            let attention = weights["model"]["language_model"]["layers"][plan.index]["self_attn"]
            steps[plan.index] = KeyValueSteps(
                keys: try attention.step("k_cache_scale"), values: try attention.step("v_cache_scale"))
        }
        return steps
    }

    /// Upper bound of the bytes of one sequence's cache.
    ///
    /// - Parameter chunkLength: the maximum number of tokens per pass.
    package func cacheByteCount(positions: Int, chunkLength: Int) -> Int {
        KVCache.byteCount(
            decoder.plans, positions: positions, chunkLength: chunkLength, type: keyValueType)
    }

    /// Whether the tokens of one image attend to each other bidirectionally, so that an image must not be split
    /// between passes.
    package var readsImagesWhole: Bool { decoder.plans.contains(where: \.seesWholeImages) }

    /// Checks the input of a sequence.
    ///
    /// - Parameters:
    ///   - position: the number of preceding tokens.
    ///   - softTokenCount: the number of soft tokens given for the placeholders in `tokens`.
    /// - Throws: `ModelInputError`.
    package func check(_ tokens: [Int], at position: Int, softTokenCount: Int) throws {
        let text = configuration.textConfig
        if let unknown = tokens.first(where: { $0 < 0 || $0 >= text.vocabSize }) {
            throw ModelInputError(.unknownToken(id: unknown, vocabSize: text.vocabSize))
        }
        let needed = position + tokens.count
        guard needed <= text.maxPositionEmbeddings else {
            throw ModelInputError(.contextLength(needed: needed, limit: text.maxPositionEmbeddings))
        }
        let placeholders = tokens.count(where: isPlaceholder)
        guard placeholders == softTokenCount else {
            throw ModelInputError(.softTokenCount(expected: placeholders, found: softTokenCount))
        }
    }

    func decoderInput(_ input: Input) throws -> Decoder.Input {
        let text = configuration.textConfig
        try check(input.tokens, at: input.cache?.length ?? 0, softTokenCount: input.softTokens?.shape[0] ?? 0)
        let softRows = input.tokens.indices.filter { isPlaceholder(input.tokens[$0]) }
        return Decoder.Input(
            tokens: input.tokens.map { isPlaceholder($0) ? text.padTokenId : $0 }, softRows: softRows,
            softTokens: input.softTokens, blockEnds: blockEnds(input.tokens), wantedRows: input.wantedRows,
            cache: input.cache)
    }

    /// Whether this id is a placeholder for a soft token.
    package func isPlaceholder(_ token: Int) -> Bool { isVisual(token) || token == configuration.audioTokenId }

    package func isVisual(_ token: Int) -> Bool {
        token == configuration.imageTokenId || token == configuration.videoTokenId
    }

    /// For each token, the end of its run of image or video placeholders; index + 1 for all other tokens.
    private func blockEnds(_ tokens: [Int]) -> [Int] {
        var ends = tokens.indices.map { $0 + 1 }
        for index in tokens.indices.dropLast().reversed() where isVisual(tokens[index]) && isVisual(tokens[index + 1]) {
            ends[index] = ends[index + 1]
        }
        return ends
    }
}
