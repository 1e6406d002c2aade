import Weights

/// Everything that differs between decoder layers, decided once: no other code asks for the type of a layer.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4TextAttention.__init__`, `Gemma4TextMLP.__init__`.
package struct LayerPlan: Sendable, Hashable {
    package let index: Int
    package let hiddenSize: Int
    package let rmsNormEps: Float

    package let numAttentionHeads: Int
    package let numKeyValueHeads: Int
    package let headDimension: Int
    /// Keys that a token attends to, including itself; nil: all before it. In an encoder, to either side.
    package let window: Int?
    /// The tokens of one image attend to each other bidirectionally.
    package let seesWholeImages: Bool
    /// Tokens also attend to those after them: an encoder, which processes a whole sequence at once and does not
    /// cache it.
    package let isBidirectional: Bool
    package let rotary: RotaryParameters
    /// The keys, before norm and RoPE, are used as values: there is no value projection.
    package let keysAreValues: Bool
    /// The layer whose keys and values are read: this one, or the last layer of its type that owns them.
    package let keyValueSource: Int

    /// Width of the gated MLP.
    package let intermediateSize: Int
    /// Nil: only the gated MLP.
    package let experts: ExpertParameters?
    /// Width of the per-layer input; 0: none.
    package let hiddenSizePerLayerInput: Int

    package var ownsKeyValues: Bool { keyValueSource == index }

    /// The plan of every layer, in order.
    ///
    /// - Throws: `CheckpointError` if a layer is not supported: an odd head size, indivisible head counts, a shared
    ///   layer without a layer to share with.
    static func plans(for text: TextConfiguration, in object: ConfigurationObject) throws(CheckpointError)
        -> [LayerPlan]
    {
        let firstShared = text.numHiddenLayers - text.numKvSharedLayers
        var plans: [LayerPlan] = []
        for (index, type) in text.layerTypes.enumerated() {
            let isFull = type == .fullAttention
            let isShared = index >= firstShared
            guard let source = isShared ? text.layerTypes[..<firstShared].lastIndex(of: type) : index else {
                throw object.invalid(
                    "num_kv_shared_layers",
                    expected: "a \(type.rawValue) layer below \(firstShared) for layer \(index) to share with",
                    found: "none")
            }
            guard let rotary = text.ropeParameters[type] else {
                throw object.missing("rope_parameters.\(type.rawValue)")
            }
            let override = text.overrides[index]
            let isEncoder = text.embeddingDim != nil
            let plan = LayerPlan(
                index: index, hiddenSize: text.hiddenSize, rmsNormEps: text.rmsNormEps,
                numAttentionHeads: text.numAttentionHeads,
                numKeyValueHeads: override?.numKeyValueHeads ?? text.numKeyValueHeads,
                headDimension: override?.headDim ?? text.headDim,
                // For an encoder the file states a radius, which excludes the token itself.
                window: isFull ? nil : text.slidingWindow + (isEncoder ? 1 : 0),
                seesWholeImages: !isFull && text.useBidirectionalAttention == "vision",
                isBidirectional: isEncoder, rotary: rotary, keysAreValues: isFull && text.attentionKEqV,
                keyValueSource: source,
                intermediateSize: text.intermediateSize * (isShared && text.useDoubleWideMlp ? 2 : 1),
                experts: text.experts, hiddenSizePerLayerInput: text.hiddenSizePerLayerInput)
            try plan.check(against: source < index ? plans[source] : plan, in: object)
            plans.append(plan)
        }
        return plans
    }

    private func check(against source: LayerPlan, in object: ConfigurationObject) throws(CheckpointError) {
        guard headDimension % 2 == 0 else {
            throw object.invalid(
                "head_dim", expected: "an even number in layer \(index), for RoPE", found: "\(headDimension)")
        }
        guard numAttentionHeads % numKeyValueHeads == 0 else {
            throw object.invalid(
                "num_attention_heads",
                expected: "a multiple of the \(numKeyValueHeads) key-value heads of layer \(index)",
                found: "\(numAttentionHeads)")
        }
        guard (headDimension, numKeyValueHeads) == (source.headDimension, source.numKeyValueHeads) else {
            throw object.invalid(
                "per_layer_config",
                expected: "\(source.numKeyValueHeads) heads of \(source.headDimension) in layer \(index), as in layer "
                    + "\(source.index), whose keys and values it reads",
                found: "\(numKeyValueHeads) of \(headDimension)")
        }
    }
}
