import Weights

/// `text_config`: the shape of the decoder. Properties are its keys, camel-cased.
///
/// Sizes have no defaults: those of the reference's class belong to no published variant. Absent switches are off, as
/// in the reference.
///
/// Source: transformers, `configuration_gemma4.py`, `Gemma4TextConfig`.
package struct TextConfiguration: Sendable, Hashable {
    enum LayerType: String, Sendable, Hashable {
        case slidingAttention = "sliding_attention"
        case fullAttention = "full_attention"
    }

    package let vocabSize: Int
    package let hiddenSize: Int
    package let numHiddenLayers: Int
    /// One per layer; the last is full attention, whatever the file says.
    let layerTypes: [LayerType]
    package let intermediateSize: Int
    package let useDoubleWideMlp: Bool

    package let numAttentionHeads: Int
    package let numKeyValueHeads: Int
    package let headDim: Int
    /// Per-layer overrides of `headDim` and `numKeyValueHeads`, from either spelling: `per_layer_config`, or
    /// `global_head_dim` and `num_global_key_value_heads`.
    let overrides: [Int: LayerOverride]
    /// Full-attention layers use the keys, before norm and RoPE, as values.
    package let attentionKEqV: Bool
    package let numKvSharedLayers: Int
    /// Tokens that a sliding-window layer attends to, including itself; for an encoder, the radius to either side.
    package let slidingWindow: Int
    /// "vision": on sliding-window layers the tokens of one image attend to each other bidirectionally.
    let useBidirectionalAttention: String?
    let ropeParameters: [LayerType: RotaryParameters]
    package let maxPositionEmbeddings: Int

    /// Width of the per-layer embeddings; 0 if the model has none.
    package let hiddenSizePerLayerInput: Int
    /// Rows of their table; 0 if the model has none, and for an encoder, which computes them from its input alone.
    package let vocabSizePerLayerInput: Int

    /// Nil: dense layers only.
    package let experts: ExpertParameters?

    package let rmsNormEps: Float
    /// Nil: logits are not capped.
    package let finalLogitSoftcapping: Float?
    /// The id used in the place of soft tokens in both embedding tables.
    package let padTokenId: Int
    package let bosTokenId: Int?

    /// Width of an encoder's embeddings; nil: a causal decoder.
    package let embeddingDim: Int?

    /// The plan of each layer, derived from all of the above.
    package private(set) var layerPlans: [LayerPlan] = []

    struct LayerOverride: Sendable, Hashable {
        var headDim: Int?
        var numKeyValueHeads: Int?
    }

    init(_ object: ConfigurationObject) throws(CheckpointError) {
        let isEncoder = try object.stringIfPresent("model_type") == "embedding_gemma2_text"
        embeddingDim = isEncoder ? try object.integer("embedding_dim") : nil
        vocabSize = try object.integer("vocab_size", in: ConfigurationObject.vocabularySizes)
        hiddenSize = try object.integer("hidden_size")
        numHiddenLayers = try object.integer("num_hidden_layers", in: ConfigurationObject.layerCounts)
        intermediateSize = try object.integer("intermediate_size")
        useDoubleWideMlp = try object.flag("use_double_wide_mlp", default: false)
        try object.require("hidden_activation", only: "gelu_pytorch_tanh")

        numAttentionHeads = try object.integer("num_attention_heads", in: ConfigurationObject.headCounts)
        numKeyValueHeads = try object.integer("num_key_value_heads", in: ConfigurationObject.headCounts)
        headDim = try object.integer("head_dim", in: ConfigurationObject.headSizes)
        attentionKEqV = try object.flag("attention_k_eq_v", default: false)
        guard try !object.flag("attention_bias", default: false) else {
            throw object.invalid("attention_bias", expected: "false: no variant has biases in attention", found: "true")
        }
        layerTypes = try Self.layerTypes(object, count: numHiddenLayers)
        overrides = try Self.overrides(object, layerTypes: layerTypes, keysAreValues: attentionKEqV)
        numKvSharedLayers = isEncoder ? 0 : try object.integer("num_kv_shared_layers", in: 0...numHiddenLayers - 1)
        slidingWindow = try object.integer("sliding_window", in: 1...ConfigurationObject.vocabularySizes.upperBound)
        maxPositionEmbeddings = try object.integer("max_position_embeddings", in: 1...Int(Int32.max))
        useBidirectionalAttention = try object.stringIfPresent("use_bidirectional_attention")
        guard [nil, "vision"].contains(useBidirectionalAttention) else {
            throw object.invalid(
                "use_bidirectional_attention", expected: "null or \"vision\"",
                found: "\"\(useBidirectionalAttention ?? "")\"")
        }
        ropeParameters = try Self.ropeParameters(object, for: Set(layerTypes))

        hiddenSizePerLayerInput = try Self.sizeOrNone(object, "hidden_size_per_layer_input")
        vocabSizePerLayerInput =
            hiddenSizePerLayerInput == 0 || isEncoder
            ? 0
            : try object.integer(
                "vocab_size_per_layer_input", in: vocabSize...ConfigurationObject.vocabularySizes.upperBound)

        experts = try object.flag("enable_moe_block", default: false) ? ExpertParameters(object) : nil

        rmsNormEps = Float(try object.number("rms_norm_eps", above: 0))
        finalLogitSoftcapping = isEncoder ? nil : try Self.softcap(object)
        padTokenId = try object.integer("pad_token_id", in: 0...vocabSize - 1)
        bosTokenId = try object.integerIfPresent("bos_token_id", in: ConfigurationObject.tokenIds)
        layerPlans = try LayerPlan.plans(for: self, in: object)
    }

    /// Context lengths for which memory and speed are predicted: 131,072 and 262,144 tokens, or the whole of a
    /// shorter context.
    package var foretoldLengths: [Int] {
        let lengths = [131_072, 262_144].filter { $0 <= maxPositionEmbeddings }
        return lengths.isEmpty ? [maxPositionEmbeddings] : lengths
    }

    private static func layerTypes(_ object: ConfigurationObject, count: Int) throws(CheckpointError) -> [LayerType] {
        var types = try object.array("layer_types") { json -> LayerType? in
            guard case .string(let name) = json else { return nil }
            return LayerType(rawValue: name)
        }
        guard types.count == count else {
            throw object.invalid(
                "layer_types", expected: "one type for each of \(count) layers", found: "\(types.count)")
        }
        types[count - 1] = .fullAttention
        return types
    }

    /// `per_layer_config` takes precedence over Google's two keys; its keys are layer indices, zero-padded to equal
    /// width.
    private static func overrides(
        _ object: ConfigurationObject, layerTypes: [LayerType], keysAreValues: Bool
    ) throws(CheckpointError) -> [Int: LayerOverride] {
        var overrides: [Int: LayerOverride] = [:]
        guard let layers = try object.objectIfPresent("per_layer_config") else {
            let full = LayerOverride(
                headDim: try object.integer("global_head_dim", in: ConfigurationObject.headSizes),
                numKeyValueHeads: keysAreValues
                    ? try object.integerIfPresent("num_global_key_value_heads", in: ConfigurationObject.headCounts)
                    : nil)
            for (index, type) in layerTypes.enumerated() where type == .fullAttention { overrides[index] = full }
            return overrides
        }
        for key in layers.keys.sorted() {
            guard let index = Int(key), layerTypes.indices.contains(index), overrides[index] == nil else {
                throw layers.invalid(
                    key, expected: "the number of a layer below \(layerTypes.count), once", found: "\"\(key)\"")
            }
            let layer = try layers.object(key)
            for other in layer.keys.sorted() where !["head_dim", "num_key_value_heads"].contains(other) {
                throw layer.invalid(other, expected: "head_dim and num_key_value_heads only", found: "\"\(other)\"")
            }
            overrides[index] = LayerOverride(
                headDim: try layer.integerIfPresent("head_dim", in: ConfigurationObject.headSizes),
                numKeyValueHeads: try layer.integerIfPresent("num_key_value_heads", in: ConfigurationObject.headCounts))
        }
        return overrides
    }

    private static func ropeParameters(
        _ object: ConfigurationObject, for types: Set<LayerType>
    ) throws(CheckpointError) -> [LayerType: RotaryParameters] {
        let parameters = try object.object("rope_parameters")
        var result: [LayerType: RotaryParameters] = [:]
        for type in [LayerType.slidingAttention, .fullAttention] where types.contains(type) {
            result[type] = try RotaryParameters(parameters.object(type.rawValue))
        }
        return result
    }

    /// Absence is an error, except for the 12B, which has no such key; null and 0 both mean that the model has none.
    private static func sizeOrNone(_ object: ConfigurationObject, _ key: String) throws(CheckpointError) -> Int {
        guard object.keys.contains(key) else {
            if try object.stringIfPresent("model_type") == "gemma4_unified_text" { return 0 }
            throw object.missing(key)
        }
        return try object.integerIfPresent(key, in: 0...ConfigurationObject.widths.upperBound) ?? 0
    }

    private static func softcap(_ object: ConfigurationObject) throws(CheckpointError) -> Float? {
        guard object.keys.contains("final_logit_softcapping") else { throw object.missing("final_logit_softcapping") }
        return try object.numberIfPresent("final_logit_softcapping", above: 0).map { Float($0) }
    }
}

/// The mixture of experts beside the dense MLP of each layer.
package struct ExpertParameters: Sendable, Hashable {
    package let numExperts: Int
    /// Experts per token.
    package let topKExperts: Int
    package let moeIntermediateSize: Int

    init(_ object: ConfigurationObject) throws(CheckpointError) {
        numExperts = try object.integer("num_experts", in: ConfigurationObject.headCounts)
        topKExperts = try object.integer("top_k_experts", in: 1...numExperts)
        // Some copies spell it expert_intermediate_size, or carry both.
        let hasAliasOnly =
            object.value("moe_intermediate_size") == nil && object.value("expert_intermediate_size") != nil
        moeIntermediateSize = try object.integer(hasAliasOnly ? "expert_intermediate_size" : "moe_intermediate_size")
    }
}

/// RoPE parameters of one type of layer.
package struct RotaryParameters: Sendable, Hashable {
    package let ropeTheta: Double
    /// The rotated share of the head; 1 for the default type. The exponents use the whole head size in either case.
    package let partialRotaryFactor: Double
    /// Divisor of the frequencies.
    package let factor: Double

    init(_ object: ConfigurationObject) throws(CheckpointError) {
        ropeTheta = try object.number("rope_theta", above: 0)
        switch try object.stringIfPresent("rope_type") ?? "default" {
        case "default", "axial":
            partialRotaryFactor = 1
            factor = 1
        case "proportional":
            partialRotaryFactor = try object.numberIfPresent("partial_rotary_factor", above: 0) ?? 1
            factor = try object.numberIfPresent("factor", above: 0) ?? 1
            guard partialRotaryFactor <= 1 else {
                throw object.invalid(
                    "partial_rotary_factor", expected: "a share of at most 1", found: "\(partialRotaryFactor)")
            }
        case let other:
            throw object.invalid("rope_type", expected: "\"default\" or \"proportional\"", found: "\"\(other)\"")
        }
    }
}
