import JSONText
import Weights

extension GGUFConfiguration {
    /// `vision_config` of a projector. Sizes without a key are those of its tensors.
    static func vision(_ file: GGUFShards) throws(CheckpointError) -> GGUFConfiguration {
        var vision = GGUFConfiguration(file, prefix: "clip.vision.", path: "vision_config.")
        try vision.add("hidden_size", integer: "embedding_length")
        try vision.add("intermediate_size", integer: "feed_forward_length")
        try vision.add("num_hidden_layers", integer: "block_count")
        try vision.add("num_attention_heads", integer: "attention.head_count")
        try vision.add("num_key_value_heads", integer: "attention.head_count")
        try vision.add("patch_size", integer: "patch_size")
        try vision.add("rms_norm_eps", number: "attention.layer_norm_epsilon")
        let norm = "v.blk.0.attn_q_norm.weight"
        vision.add("head_dim", .integer(try vision.shape(norm, rank: 1)[0]), from: norm)
        let positions = "v.position_embd.weight"
        vision.add("position_embedding_size", .integer(try vision.shape(positions, rank: 3)[1]), from: positions)
        vision.add("pooling_kernel_size", 3)
        vision.add("rope_parameters", ["rope_type": "default", "rope_theta": 100])
        vision.add("hidden_activation", "gelu_pytorch_tanh")
        vision.add("standardize", .boolean(file.tensor("v.std_scale") != nil))
        vision.add("use_clipped_linears", .boolean(file.tensor("v.blk.0.attn_q.input_min") != nil))
        return vision
    }

    /// `audio_config` of a projector. Sizes without a key are those of its tensors.
    static func audio(_ file: GGUFShards) throws(CheckpointError) -> GGUFConfiguration {
        var audio = GGUFConfiguration(file, prefix: "clip.audio.", path: "audio_config.")
        try audio.add("hidden_size", integer: "embedding_length")
        try audio.add("num_hidden_layers", integer: "block_count")
        try audio.add("num_attention_heads", integer: "attention.head_count")
        try audio.add("rms_norm_eps", number: "attention.layer_norm_epsilon")
        let convolutions = ["a.conv1d.0.weight", "a.conv1d.1.weight"]
        var channels: [JSONValue] = []
        for name in convolutions { channels.append(.integer(try audio.shape(name, rank: 4)[0])) }
        audio.add("subsampling_conv_channels", .array(channels), from: convolutions[0])
        let depthwise = "a.blk.0.conv_dw.weight"
        audio.add("conv_kernel_size", .integer(try audio.shape(depthwise, rank: 2)[1]), from: depthwise)
        let output = "a.pre_encode.out.weight"
        audio.add("output_proj_dims", .integer(try audio.shape(output, rank: 2)[0]), from: output)
        audio.add("use_clipped_linears", .boolean(file.tensor("a.blk.0.attn_q.input_min") != nil))
        audio.add("attention_chunk_size", 12)
        audio.add("attention_context_left", 13)
        audio.add("attention_context_right", 0)
        audio.add("attention_logit_cap", 50)
        audio.add("attention_invalid_logits_value", -1e9)
        audio.add("residual_weight", 0.5)
        audio.add("gradient_clipping", 1e10)
        audio.add("hidden_act", "silu")
        return audio
    }

    /// `vision_config` of the projections of the 12B. A model patch is the input of the projection; it consists of
    /// several of the file's patches.
    static func unifiedVision(_ file: GGUFShards) throws(CheckpointError) -> GGUFConfiguration {
        var vision = GGUFConfiguration(file, prefix: "clip.vision.", path: "vision_config.")
        let projection = "v.patch_embd.weight"
        let shape = try vision.shape(projection, rank: 2)
        let (patch, side) = (try vision.integer("patch_size"), Int((Double(shape[1]) / 3).squareRoot()))
        guard patch > 0, side % patch == 0, 3 * side * side == shape[1] else {
            throw CheckpointError(
                .invalidTensor, file: file.path, place: projection,
                expected: "squares of three colours, a multiple of \(patch) pixels wide", found: "\(shape)",
                remedy: Self.remedy)
        }
        try vision.add("patch_size", integer: "patch_size")
        vision.add("pooling_kernel_size", .integer(side / patch), from: projection)
        vision.add("mm_embed_dim", .integer(shape[0]), from: projection)
        let positions = "v.position_embd.weight"
        vision.add("mm_posemb_size", .integer(try vision.shape(positions, rank: 3)[1]), from: positions)
        try vision.add("rms_norm_eps", number: "attention.layer_norm_epsilon")
        return vision
    }

    /// `audio_config` of the projections of the 12B.
    static func unifiedAudio(_ file: GGUFShards) throws(CheckpointError) -> GGUFConfiguration {
        var audio = GGUFConfiguration(file, prefix: "clip.audio.", path: "audio_config.")
        let projection = "mm.a.input_projection.weight"
        audio.add("audio_embed_dim", .integer(try audio.shape(projection, rank: 2)[1]), from: projection)
        try audio.add("rms_norm_eps", number: "attention.layer_norm_epsilon")
        return audio
    }
}
