import Tensors

extension TensorTable {
    /// The image encoder and its projection to the decoder's width.
    mutating func appendVision(_ vision: VisionConfiguration, into textWidth: Int) {
        let tower = "model.vision_tower"
        let width = vision.hiddenSize
        append("\(tower).patch_embedder.input_proj.weight", [width, vision.patchSize * vision.patchSize * 3], .vision)
        append("\(tower).patch_embedder.position_embedding_table", [2, vision.positionEmbeddingSize, width], .vision)
        let querySize = vision.numAttentionHeads * vision.headDim
        let keySize = vision.numKeyValueHeads * vision.headDim
        let projections: [(name: String, shape: Shape)] = [
            ("self_attn.q_proj", [querySize, width]), ("self_attn.k_proj", [keySize, width]),
            ("self_attn.v_proj", [keySize, width]), ("self_attn.o_proj", [width, querySize]),
            ("mlp.gate_proj", [vision.intermediateSize, width]), ("mlp.up_proj", [vision.intermediateSize, width]),
            ("mlp.down_proj", [width, vision.intermediateSize]),
        ]
        for index in 0..<vision.numHiddenLayers {
            let layer = "\(tower).encoder.layers.\(index)"
            for (name, shape) in projections {
                appendClipped("\(layer).\(name)", shape, .vision, clipped: vision.useClippedLinears)
            }
            append("\(layer).self_attn.q_norm.weight", [vision.headDim], .vision)
            append("\(layer).self_attn.k_norm.weight", [vision.headDim], .vision)
            for norm in ["input", "post_attention", "pre_feedforward", "post_feedforward"] {
                append("\(layer).\(norm)_layernorm.weight", [width], .vision)
            }
        }
        if vision.standardize {
            append("\(tower).std_bias", [width], .vision)
            append("\(tower).std_scale", [width], .vision)
        }
        append("model.embed_vision.embedding_projection.weight", [textWidth, width], .vision)
    }

    /// The sound encoder and its projection to the decoder's width.
    mutating func appendAudio(_ audio: AudioConfiguration, into textWidth: Int) {
        let tower = "model.audio_tower"
        let width = audio.hiddenSize
        let channels = [1] + audio.subsamplingConvChannels
        for index in 0..<2 {
            let layer = "\(tower).subsample_conv_projection.layer\(index)"
            append("\(layer).conv.weight", [channels[index + 1], channels[index], 3, 3], .audio)
            append("\(layer).norm.weight", [channels[index + 1]], .audio)
        }
        // The two convolutions reduce 128 mel bands to 32, each with all channels.
        append("\(tower).subsample_conv_projection.input_proj_linear.weight", [width, 32 * channels[2]], .audio)

        let clipped: [(name: String, shape: Shape)] = [
            ("feed_forward1.ffw_layer_1", [4 * width, width]), ("feed_forward1.ffw_layer_2", [width, 4 * width]),
            ("feed_forward2.ffw_layer_1", [4 * width, width]), ("feed_forward2.ffw_layer_2", [width, 4 * width]),
            ("self_attn.q_proj", [width, width]), ("self_attn.k_proj", [width, width]),
            ("self_attn.v_proj", [width, width]), ("self_attn.post", [width, width]),
            ("lconv1d.linear_start", [2 * width, width]), ("lconv1d.linear_end", [width, width]),
        ]
        let plain: [(name: String, shape: Shape)] = [
            ("feed_forward1.pre_layer_norm.weight", [width]), ("feed_forward1.post_layer_norm.weight", [width]),
            ("feed_forward2.pre_layer_norm.weight", [width]), ("feed_forward2.post_layer_norm.weight", [width]),
            ("self_attn.relative_k_proj.weight", [width, width]), ("self_attn.per_dim_scale", [audio.headDim]),
            ("lconv1d.depthwise_conv1d.weight", [width, 1, audio.convKernelSize]),
            ("lconv1d.pre_layer_norm.weight", [width]), ("lconv1d.conv_norm.weight", [width]),
            ("norm_pre_attn.weight", [width]), ("norm_post_attn.weight", [width]), ("norm_out.weight", [width]),
        ]
        for index in 0..<audio.numHiddenLayers {
            let layer = "\(tower).layers.\(index)"
            for (name, shape) in clipped {
                appendClipped("\(layer).\(name)", shape, .audio, clipped: audio.useClippedLinears)
            }
            for (name, shape) in plain { append("\(layer).\(name)", shape, .audio) }
        }
        append("\(tower).output_proj.weight", [audio.outputProjDims, width], .audio)
        append("\(tower).output_proj.bias", [audio.outputProjDims], .audio)
        append("model.embed_audio.embedding_projection.weight", [textWidth, audio.outputProjDims], .audio)
    }

    /// The projections with which the 12B replaces the towers.
    mutating func appendUnified(_ configuration: ModelConfiguration) {
        let textWidth = configuration.textConfig.hiddenSize
        if let vision = configuration.unifiedVisionConfig {
            let embedder = "model.vision_embedder"
            let width = vision.mmEmbedDim
            append("\(embedder).patch_dense.weight", [width, vision.patchValues], .vision)
            append("\(embedder).patch_dense.bias", [width], .vision)
            append("\(embedder).pos_embedding", [vision.mmPosembSize, 2, width], .vision)
            for (norm, size) in [("patch_ln1", vision.patchValues), ("patch_ln2", width), ("pos_norm", width)] {
                append("\(embedder).\(norm).weight", [size], .vision)
                append("\(embedder).\(norm).bias", [size], .vision)
            }
            append("model.embed_vision.embedding_projection.weight", [textWidth, width], .vision)
        }
        if let audio = configuration.unifiedAudioConfig {
            append("model.embed_audio.embedding_projection.weight", [textWidth, audio.audioEmbedDim], .audio)
        }
    }
}
