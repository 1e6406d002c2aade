import Tensors

extension TensorTable {
    /// The decoder's tensors, or the encoder's.
    mutating func appendText(_ configuration: ModelConfiguration) {
        let text = configuration.textConfig
        let prefix = "model.language_model"
        let width = text.hiddenSize
        append("\(prefix).embed_tokens.weight", [text.vocabSize, width], .embedding)
        append("\(prefix).norm.weight", [width], .norms)
        if let embeddingDim = text.embeddingDim {
            append("\(prefix).embedding_projection.weight", [embeddingDim, width], .head)
        } else if !configuration.tieWordEmbeddings {
            append("lm_head.weight", [text.vocabSize, width], .head)
        }

        let perLayer = text.hiddenSizePerLayerInput
        if perLayer > 0 {
            let all = text.numHiddenLayers * perLayer
            if text.vocabSizePerLayerInput > 0 {
                append("\(prefix).embed_tokens_per_layer.weight", [text.vocabSizePerLayerInput, all], .perLayerTable)
            }
            append("\(prefix).per_layer_model_projection.weight", [all, width], .perLayerProjection)
            append("\(prefix).per_layer_projection_norm.weight", [perLayer], .perLayerProjection)
        }
        for plan in text.layerPlans {
            let layer = "\(prefix).layers.\(plan.index)"
            appendAttention(plan, "\(layer).self_attn")
            append("\(layer).mlp.gate_proj.weight", [plan.intermediateSize, width], .feedForward)
            append("\(layer).mlp.up_proj.weight", [plan.intermediateSize, width], .feedForward)
            append("\(layer).mlp.down_proj.weight", [width, plan.intermediateSize], .feedForward)
            for norm in ["input", "post_attention", "pre_feedforward", "post_feedforward"] {
                append("\(layer).\(norm)_layernorm.weight", [width], .norms)
            }
            append("\(layer).layer_scalar", [1], .norms)
            if perLayer > 0 {
                append("\(layer).per_layer_input_gate.weight", [perLayer, width], .perLayerProjection)
                append("\(layer).per_layer_projection.weight", [width, perLayer], .perLayerProjection)
                append("\(layer).post_per_layer_input_norm.weight", [width], .perLayerProjection)
            }
            if let experts = plan.experts { appendExperts(experts, width, layer) }
        }
    }

    /// Shared layers read another layer's keys and values; published files contain projections for them nevertheless.
    private mutating func appendAttention(_ plan: LayerPlan, _ attention: String) {
        let querySize = plan.numAttentionHeads * plan.headDimension
        let keySize = plan.numKeyValueHeads * plan.headDimension
        let keyValuePart: Part = plan.ownsKeyValues ? .attention : .leftover
        append("\(attention).q_proj.weight", [querySize, plan.hiddenSize], .attention)
        append("\(attention).q_norm.weight", [plan.headDimension], .attention)
        append("\(attention).k_proj.weight", [keySize, plan.hiddenSize], keyValuePart)
        append("\(attention).k_norm.weight", [plan.headDimension], keyValuePart)
        if !plan.keysAreValues { append("\(attention).v_proj.weight", [keySize, plan.hiddenSize], keyValuePart) }
        append("\(attention).o_proj.weight", [plan.hiddenSize, querySize], .attention)
    }

    private mutating func appendExperts(_ experts: ExpertParameters, _ width: Int, _ layer: String) {
        let (count, inner) = (experts.numExperts, experts.moeIntermediateSize)
        append("\(layer).experts.gate_up_proj", [count, 2 * inner, width], .experts)
        append("\(layer).experts.down_proj", [count, width, inner], .experts)
        append("\(layer).router.proj.weight", [count, width], .router)
        append("\(layer).router.scale", [width], .router)
        append("\(layer).router.per_expert_scale", [count], .router)
        for norm in ["post_feedforward_layernorm_1", "pre_feedforward_layernorm_2", "post_feedforward_layernorm_2"] {
            append("\(layer).\(norm).weight", [width], .norms)
        }
    }
}
