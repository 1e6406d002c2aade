import Weights

/// The metadata by which llama.cpp and this program recognize a model: the inverse of `GGUFConfiguration`.
///
/// Source: llama.cpp, `conversion/gemma.py`, `gguf-py/gguf/constants.py`.
package enum GGUFMetadata {
    package typealias Entry = (key: String, value: GGUFValue)

    /// Keys of the text model, without those of its vocabulary.
    package static func text(_ configuration: ModelConfiguration) -> [Entry] {
        let text = configuration.textConfig
        let plans = text.layerPlans
        let full = plans.first { $0.window == nil } ?? plans[0]
        let sliding = plans.first { $0.window != nil } ?? full
        var entries: [Entry] = [
            ("general.architecture", .string("gemma4")),
            ("general.type", .string("model")),
            ("general.quantization_version", .uint32(2)),
        ]
        func add(_ key: String, _ value: GGUFValue) { entries.append(("gemma4.\(key)", value)) }
        func perLayer(_ values: [Int]) -> GGUFValue {
            values.allSatisfy { $0 == values[0] } ? .count(values[0]) : .array(GGUFArray(values.map { Int32($0) }))
        }
        add("block_count", .count(text.numHiddenLayers))
        add("context_length", .count(text.maxPositionEmbeddings))
        add("embedding_length", .count(text.hiddenSize))
        add("embedding_length_per_layer_input", .count(text.hiddenSizePerLayerInput))
        add("feed_forward_length", perLayer(plans.map(\.intermediateSize)))
        add("attention.head_count", .count(text.numAttentionHeads))
        add("attention.head_count_kv", perLayer(plans.map(\.numKeyValueHeads)))
        add("attention.layer_norm_rms_epsilon", .float32(text.rmsNormEps))
        add("attention.sliding_window", .count(text.slidingWindow))
        add("attention.sliding_window_pattern", .array(GGUFArray(plans.map { $0.window != nil })))
        add("attention.shared_kv_layers", .count(text.numKvSharedLayers))
        for (suffix, plan) in [("", full), ("_swa", sliding)] {
            add("attention.key_length\(suffix)", .count(plan.headDimension))
            add("attention.value_length\(suffix)", .count(plan.headDimension))
            add("rope.dimension_count\(suffix)", .count(plan.headDimension))
            add("rope.freq_base\(suffix)", .float32(Float(plan.rotary.ropeTheta)))
        }
        if let softcap = text.finalLogitSoftcapping { add("final_logit_softcapping", .float32(softcap)) }
        if let experts = text.experts {
            add("expert_count", .count(experts.numExperts))
            add("expert_used_count", .count(experts.topKExperts))
            add("expert_feed_forward_length", .count(experts.moeIntermediateSize))
        }
        return entries
    }

    /// Token ids that are never sampled.
    package static let suppressTokens = "tokenizer.ggml.suppress_tokens"

    /// Divisors of the frequencies of full-attention layers, which llama.cpp expects as a tensor; see
    /// `GGUFNames.rotaryFactors`.
    package static func rotaryFactors(_ configuration: ModelConfiguration) -> [Float] {
        guard let full = configuration.textConfig.layerPlans.first(where: { $0.window == nil }) else { return [] }
        let turning = Int(full.rotary.partialRotaryFactor * Double(full.headDimension) / 2)
        return (0..<full.headDimension / 2).map { $0 < turning ? 1 : 1e30 }
    }

    /// Keys of the towers; nil if the model has none.
    package static func projector(_ configuration: ModelConfiguration) -> [Entry]? {
        let (vision, audio) = (configuration.visionConfig, configuration.audioConfig)
        guard configuration.takesImages || configuration.takesSound else { return nil }
        let width = configuration.textConfig.hiddenSize
        var entries: [Entry] = [
            ("general.architecture", .string("clip")),
            ("general.type", .string("mmproj")),
            ("general.quantization_version", .uint32(2)),
            ("clip.has_vision_encoder", .bool(configuration.takesImages)),
            ("clip.has_audio_encoder", .bool(configuration.takesSound)),
        ]
        if let vision {
            func add(_ key: String, _ value: GGUFValue) { entries.append(("clip.vision.\(key)", value)) }
            add("projector_type", .string("gemma4v"))
            add("projection_dim", .count(width))
            add("embedding_length", .count(vision.hiddenSize))
            add("feed_forward_length", .count(vision.intermediateSize))
            add("block_count", .count(vision.numHiddenLayers))
            add("attention.head_count", .count(vision.numAttentionHeads))
            add("attention.layer_norm_epsilon", .float32(vision.rmsNormEps))
            add("patch_size", .count(vision.patchSize))
            add("image_size", .count(224))  // required by llama.cpp, but unused
            add("image_mean", .array(GGUFArray(.float32, [.float32(0), .float32(0), .float32(0)])))
            add("image_std", .array(GGUFArray(.float32, [.float32(1), .float32(1), .float32(1)])))
        }
        if let audio {
            func add(_ key: String, _ value: GGUFValue) { entries.append(("clip.audio.\(key)", value)) }
            add("projector_type", .string("gemma4a"))
            add("projection_dim", .count(width))
            add("embedding_length", .count(audio.hiddenSize))
            add("feed_forward_length", .count(4 * audio.hiddenSize))
            add("block_count", .count(audio.numHiddenLayers))
            add("attention.head_count", .count(audio.numAttentionHeads))
            add("attention.layer_norm_epsilon", .float32(audio.rmsNormEps))
            add("num_mel_bins", .count(SubsampleConvolution.melBins))
        }
        return entries + unifiedProjector(configuration)
    }

    /// Keys of the 12B, which has no towers: sizes that llama.cpp requires are 0.
    private static func unifiedProjector(_ configuration: ModelConfiguration) -> [Entry] {
        var entries: [Entry] = []
        func add(_ part: String, _ type: String, width: Int, eps: Float) {
            let prefix = "clip.\(part)"
            entries += [
                ("\(prefix).projector_type", .string(type)),
                ("\(prefix).projection_dim", .count(configuration.textConfig.hiddenSize)),
                ("\(prefix).embedding_length", .count(width)), ("\(prefix).feed_forward_length", .count(0)),
                ("\(prefix).block_count", .count(0)), ("\(prefix).attention.head_count", .count(0)),
                ("\(prefix).attention.layer_norm_epsilon", .float32(eps)),
            ]
        }
        if let vision = configuration.unifiedVisionConfig {
            add("vision", "gemma4uv", width: vision.mmEmbedDim, eps: vision.rmsNormEps)
            entries += [
                ("clip.vision.patch_size", .count(vision.patchSize)), ("clip.vision.image_size", .count(224)),
                ("clip.vision.image_mean", .array(GGUFArray(.float32, [.float32(0), .float32(0), .float32(0)]))),
                ("clip.vision.image_std", .array(GGUFArray(.float32, [.float32(1), .float32(1), .float32(1)]))),
            ]
        }
        if let audio = configuration.unifiedAudioConfig {
            add("audio", "gemma4ua", width: audio.audioEmbedDim, eps: audio.rmsNormEps)
            entries.append(("clip.audio.num_mel_bins", .count(SubsampleConvolution.melBins)))  // as its converter does
        }
        return entries
    }
}

extension GGUFValue {
    fileprivate static func count(_ value: Int) -> GGUFValue { .uint32(UInt32(value)) }
}
