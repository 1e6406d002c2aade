import Tensors
import Weights

/// What llama.cpp calls the tensors of Gemma 4, and how its converter stores them. One table, read in both directions.
///
/// `#` stands for the number of a layer. Layers of the text model and of both towers are counted from 0 in both spellings.
///
/// Source: llama.cpp, `gguf-py/gguf/tensor_mapping.py`, `conversion/gemma.py`.
package enum GGUFNames {
    /// The published name of a tensor, and how it is stored; nil if no weight of Gemma 4 is called that.
    ///
    /// - Parameter isUnified: whether the file is of the 12B, which gives names of a tower to other things.
    package static func published(_ stored: String, isUnified: Bool = false) -> Checkpoint.Published? {
        let (pattern, layer) = pattern(stored)
        return ((isUnified ? unifiedByStoredName[pattern] : nil) ?? byStoredName[pattern] ?? olderNames[pattern]).map {
            ($0.published.replacing("#", with: layer), $0.layout)
        }
    }

    /// The name of a tensor in GGUF, and how it is stored there; nil if Gemma 4 has no tensor of that published name.
    package static func stored(_ published: String) -> (name: String, layout: TensorLayout)? {
        let (pattern, layer) = pattern(published)
        return byPublishedName[pattern].map { ($0.stored.replacing("#", with: layer), $0.layout) }
    }

    /// The inverse frequencies' divisors of full layers, made by the converter. No weight: they say which pairs turn.
    package static let rotaryFactors = "rope_freqs.weight"

    /// `blk.12.attn_q.weight` as `blk.#.attn_q.weight` and `12`; in either spelling.
    private static func pattern(_ name: String) -> (pattern: String, layer: String) {
        var parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard let index = parts.firstIndex(where: { $0 == "blk" || $0 == "layers" }), index + 1 < parts.count,
            let number = Int(parts[index + 1]), number >= 0, String(number) == parts[index + 1]
        else { return (name, "") }
        let layer = String(parts[index + 1])
        parts[index + 1] = "#"
        return (parts.joined(separator: "."), layer)
    }

    // MARK: The table

    private struct Row: Sendable {
        let stored, published: String
        var layout = TensorLayout.published
    }

    private static let byStoredName = Dictionary(uniqueKeysWithValues: rows.map { ($0.stored, $0) })
    private static let unifiedByStoredName = Dictionary(uniqueKeysWithValues: unified.map { ($0.stored, $0) })
    private static let byPublishedName = Dictionary(uniqueKeysWithValues: (rows + unified).map { ($0.published, $0) })

    /// Read, and no longer written.
    private static let olderNames: [String: Row] = [
        "blk.#.ffn_gate_exps.weight": Row(
            stored: "blk.#.ffn_gate_exps.weight", published: "model.language_model.layers.#.experts.gate_up_proj",
            layout: .firstHalves),
        "blk.#.ffn_up_exps.weight": Row(
            stored: "blk.#.ffn_up_exps.weight", published: "model.language_model.layers.#.experts.gate_up_proj",
            layout: .secondHalves),
    ]

    private static let rows = text + vision + audio

    private static let text: [Row] =
        [Row(stored: "output.weight", published: "lm_head.weight")]
        + rows(
            "", "model.language_model.",
            [
                ("token_embd.weight", "embed_tokens.weight"), ("output_norm.weight", "norm.weight"),
                ("per_layer_token_embd.weight", "embed_tokens_per_layer.weight"),
                ("per_layer_model_proj.weight", "per_layer_model_projection.weight"),
                ("per_layer_proj_norm.weight", "per_layer_projection_norm.weight"),
            ])
        + rows(
            "blk.#.", "model.language_model.layers.#.",
            [
                ("attn_norm.weight", "input_layernorm.weight"),
                ("attn_q.weight", "self_attn.q_proj.weight"), ("attn_k.weight", "self_attn.k_proj.weight"),
                ("attn_v.weight", "self_attn.v_proj.weight"), ("attn_output.weight", "self_attn.o_proj.weight"),
                ("attn_q_norm.weight", "self_attn.q_norm.weight"), ("attn_k_norm.weight", "self_attn.k_norm.weight"),
                ("post_attention_norm.weight", "post_attention_layernorm.weight"),
                ("ffn_norm.weight", "pre_feedforward_layernorm.weight"),
                ("ffn_gate.weight", "mlp.gate_proj.weight"), ("ffn_up.weight", "mlp.up_proj.weight"),
                ("ffn_down.weight", "mlp.down_proj.weight"),
                ("post_ffw_norm.weight", "post_feedforward_layernorm.weight"),
                ("layer_output_scale.weight", "layer_scalar"),
                ("inp_gate.weight", "per_layer_input_gate.weight"), ("proj.weight", "per_layer_projection.weight"),
                ("post_norm.weight", "post_per_layer_input_norm.weight"),
                ("ffn_gate_inp.weight", "router.proj.weight"), ("ffn_gate_inp.scale", "router.scale"),
                ("ffn_gate_up_exps.weight", "experts.gate_up_proj"), ("ffn_down_exps.weight", "experts.down_proj"),
                ("ffn_down_exps.scale", "router.per_expert_scale"),
                ("pre_ffw_norm_2.weight", "pre_feedforward_layernorm_2.weight"),
                ("post_ffw_norm_1.weight", "post_feedforward_layernorm_1.weight"),
                ("post_ffw_norm_2.weight", "post_feedforward_layernorm_2.weight"),
            ])

    private static let vision: [Row] =
        [
            Row(
                stored: "v.patch_embd.weight", published: "model.vision_tower.patch_embedder.input_proj.weight",
                layout: .colourPlanes),
            Row(
                stored: "v.position_embd.weight",
                published: "model.vision_tower.patch_embedder.position_embedding_table"),
            Row(stored: "v.std_bias", published: "model.vision_tower.std_bias"),
            Row(stored: "v.std_scale", published: "model.vision_tower.std_scale"),
            Row(stored: "mm.input_projection.weight", published: "model.embed_vision.embedding_projection.weight"),
        ]
        + rows(
            "v.blk.#.", "model.vision_tower.encoder.layers.#.",
            [
                ("attn_q_norm.weight", "self_attn.q_norm.weight"), ("attn_k_norm.weight", "self_attn.k_norm.weight"),
                ("ln1.weight", "input_layernorm.weight"), ("attn_post_norm.weight", "post_attention_layernorm.weight"),
                ("ln2.weight", "pre_feedforward_layernorm.weight"),
                ("ffn_post_norm.weight", "post_feedforward_layernorm.weight"),
            ])
        + clippedRows(
            "v.blk.#.", "model.vision_tower.encoder.layers.#.",
            [
                ("attn_q", "self_attn.q_proj"), ("attn_k", "self_attn.k_proj"), ("attn_v", "self_attn.v_proj"),
                ("attn_out", "self_attn.o_proj"), ("ffn_gate", "mlp.gate_proj"), ("ffn_up", "mlp.up_proj"),
                ("ffn_down", "mlp.down_proj"),
            ])

    /// `conv_norm` and `norm_conv` look swapped; so they are written.
    private static let audio: [Row] =
        [
            Row(
                stored: "a.blk.#.per_dim_scale.weight",
                published: "model.audio_tower.layers.#.self_attn.per_dim_scale", layout: .softplus),
            Row(
                stored: "a.blk.#.conv_dw.weight",
                published: "model.audio_tower.layers.#.lconv1d.depthwise_conv1d.weight", layout: .depthwise),
            Row(stored: "mm.a.input_projection.weight", published: "model.embed_audio.embedding_projection.weight"),
        ]
        + rows(
            "a.", "model.audio_tower.",
            [
                ("conv1d.0.weight", "subsample_conv_projection.layer0.conv.weight"),
                ("conv1d.0.norm.weight", "subsample_conv_projection.layer0.norm.weight"),
                ("conv1d.1.weight", "subsample_conv_projection.layer1.conv.weight"),
                ("conv1d.1.norm.weight", "subsample_conv_projection.layer1.norm.weight"),
                ("input_projection.weight", "subsample_conv_projection.input_proj_linear.weight"),
                ("pre_encode.out.weight", "output_proj.weight"), ("pre_encode.out.bias", "output_proj.bias"),
            ])
        + rows(
            "a.blk.#.", "model.audio_tower.layers.#.",
            [
                ("ffn_norm.weight", "feed_forward1.pre_layer_norm.weight"),
                ("ffn_post_norm.weight", "feed_forward1.post_layer_norm.weight"),
                ("ffn_norm_1.weight", "feed_forward2.pre_layer_norm.weight"),
                ("ffn_post_norm_1.weight", "feed_forward2.post_layer_norm.weight"),
                ("attn_k_rel.weight", "self_attn.relative_k_proj.weight"),
                ("attn_pre_norm.weight", "norm_pre_attn.weight"), ("attn_post_norm.weight", "norm_post_attn.weight"),
                ("ln2.weight", "norm_out.weight"),
                ("conv_norm.weight", "lconv1d.pre_layer_norm.weight"), ("norm_conv.weight", "lconv1d.conv_norm.weight"),
            ])
        + clippedRows(
            "a.blk.#.", "model.audio_tower.layers.#.",
            [
                ("ffn_up", "feed_forward1.ffw_layer_1"), ("ffn_down", "feed_forward1.ffw_layer_2"),
                ("ffn_up_1", "feed_forward2.ffw_layer_1"), ("ffn_down_1", "feed_forward2.ffw_layer_2"),
                ("attn_q", "self_attn.q_proj"), ("attn_k", "self_attn.k_proj"), ("attn_v", "self_attn.v_proj"),
                ("attn_out", "self_attn.post"), ("conv_pw1", "lconv1d.linear_start"),
                ("conv_pw2", "lconv1d.linear_end"),
            ])

    /// What the 12B has instead of towers; the last projections are called as those of the others.
    private static let unified: [Row] =
        [
            Row(
                stored: "v.patch_embd.weight", published: "model.vision_embedder.patch_dense.weight",
                layout: .colourRuns),
            Row(stored: "v.patch_embd.bias", published: "model.vision_embedder.patch_dense.bias"),
            Row(
                stored: "v.position_embd.weight", published: "model.vision_embedder.pos_embedding",
                layout: .axesApart),
        ]
        + [("1", "patch_ln1", TensorLayout.colourRuns), ("2", "patch_ln2", .published), ("3", "pos_norm", .published)]
        .flatMap { number, norm, layout in
            ["weight", "bias"].map {
                Row(
                    stored: "v.patch_norm.\(number).\($0)", published: "model.vision_embedder.\(norm).\($0)",
                    layout: layout)
            }
        }

    private static func rows(
        _ storedPrefix: String, _ publishedPrefix: String, _ names: [(stored: String, published: String)]
    ) -> [Row] {
        names.map { Row(stored: storedPrefix + $0.stored, published: publishedPrefix + $0.published) }
    }

    /// Projections with the four bounds of their input and output.
    private static func clippedRows(
        _ storedPrefix: String, _ publishedPrefix: String, _ names: [(stored: String, published: String)]
    ) -> [Row] {
        names.flatMap { name -> [Row] in
            let (stored, published) = (storedPrefix + name.stored, publishedPrefix + name.published)
            return [Row(stored: "\(stored).weight", published: "\(published).linear.weight")]
                + ["input_min", "input_max", "output_min", "output_max"].map {
                    Row(stored: "\(stored).\($0)", published: "\(published).\($0)", layout: .scalar)
                }
        }
    }
}
