import JSONText
import Weights

extension GGUFConfiguration {
    /// `text_config` of a text model.
    ///
    /// Inferred from the tensors: keys used as values (a layer without `attn_v`), wider layers (their widths), the
    /// rotated share of a head (`rope_freqs`). The models without per-layer embeddings attend bidirectionally within
    /// images.
    static func text(_ file: GGUFShards, tokenId: (String) -> Int?) throws(CheckpointError) -> GGUFConfiguration {
        var text = GGUFConfiguration(file, prefix: "gemma4.", path: "text_config.")
        let layers = try text.integer("block_count")
        guard ConfigurationObject.layerCounts.contains(layers) else {
            throw text.invalid(
                "gemma4.block_count", expected: "an integer from 1 to \(ConfigurationObject.layerCounts.upperBound)",
                found: "\(layers)")
        }
        let shared = try text.integer("attention.shared_kv_layers")
        guard 0..<layers ~= shared else {
            throw text.invalid(
                "gemma4.attention.shared_kv_layers", expected: "an integer from 0 to \(layers - 1)", found: "\(shared)")
        }
        text.add("num_kv_shared_layers", .integer(shared), from: "gemma4.attention.shared_kv_layers")
        text.add("num_hidden_layers", .integer(layers), from: "gemma4.block_count")
        text.add("vocab_size", .integer(try text.shape("token_embd.weight", rank: 2)[0]), from: "token_embd.weight")
        try text.add("hidden_size", integer: "embedding_length")
        try text.add("max_position_embeddings", integer: "context_length")
        try text.add("rms_norm_eps", number: "attention.layer_norm_rms_epsilon")
        text.add("hidden_activation", "gelu_pytorch_tanh")
        let softcap = "final_logit_softcapping"
        if file.metadata["gemma4.\(softcap)"] == nil {
            text.add(softcap, .null)
        } else {
            try text.add(softcap, number: softcap)
        }
        for (key, token, stored) in [
            ("pad_token_id", "<pad>", "tokenizer.ggml.padding_token_id"),
            ("bos_token_id", "<bos>", "tokenizer.ggml.bos_token_id"),
        ] {
            let id = tokenId(token) ?? file.metadata[stored]?.integer
            text.add(key, id.map(JSONValue.integer) ?? .null, from: stored)
        }
        let isSliding = try text.addLayerTypes(layers)
        try text.addAttention(isSliding, firstShared: layers - shared)
        try text.addFeedForward(layers, firstShared: layers - shared)
        try text.addRotary()
        return text
    }

    private mutating func addLayerTypes(_ layers: Int) throws(CheckpointError) -> [Bool] {
        let key = "attention.sliding_window_pattern"
        let pattern = try value(key)
        guard let flags = pattern.array, flags.elements == .bool, flags.count == layers, let bits = flags.integers
        else {
            throw invalid(prefix + key, expected: "true or false for each of \(layers) layers", found: pattern)
        }
        add(
            "layer_types", .array(bits.map { .string($0 != 0 ? "sliding_attention" : "full_attention") }),
            from: prefix + key)
        try add("sliding_window", integer: "attention.sliding_window")
        return bits.map { $0 != 0 }
    }

    private mutating func addAttention(_ isSliding: [Bool], firstShared: Int) throws(CheckpointError) {
        for (key, stored) in [("global_head_dim", "length"), ("head_dim", "length_swa")] {
            let keys = try integer("attention.key_\(stored)")
            let values = try integer("attention.value_\(stored)")
            guard keys == values else {
                throw invalid(
                    "\(prefix)attention.value_\(stored)", expected: "\(keys), as of keys", found: "\(values)")
            }
            add(key, .integer(keys), from: "\(prefix)attention.key_\(stored)")
        }
        try add("num_attention_heads", integer: "attention.head_count")

        let layers = isSliding.count
        let keysAreValues = isSliding.indices.contains { layer in
            !isSliding[layer] && layer < firstShared && file.tensor("blk.\(layer).attn_v.weight") == nil
        }
        add("attention_k_eq_v", .boolean(keysAreValues), from: "blk.N.attn_v.weight")
        let key = "attention.head_count_kv"
        let heads = try integers(key, layers: layers)
        let sliding = zip(heads, isSliding).first { $1 }?.0 ?? heads[0]
        let full = zip(heads, isSliding).first { !$1 }?.0 ?? heads[0]
        guard zip(heads, isSliding).allSatisfy({ $0 == ($1 ? sliding : full) }), keysAreValues || full == sliding else {
            throw invalid(
                prefix + key,
                expected: "one number for sliding layers, and another for full ones only where they have no values",
                found: "\(heads)")
        }
        add("num_key_value_heads", .integer(sliding), from: prefix + key)
        add("num_global_key_value_heads", full == sliding ? .null : .integer(full), from: prefix + key)
    }

    private mutating func addFeedForward(_ layers: Int, firstShared: Int) throws(CheckpointError) {
        let key = "feed_forward_length"
        let widths = try integers(key, layers: layers)
        let isDoubled = widths.last != widths[0]
        let expected = widths.indices.map { isDoubled && $0 >= firstShared ? 2 : 1 }
        guard zip(widths, expected).allSatisfy({ $0.isMultiple(of: $1) && $0 / $1 == widths[0] }) else {
            throw invalid(
                prefix + key, expected: "one width, or twice that in the layers that share keys and values",
                found: "\(widths)")
        }
        add("intermediate_size", .integer(widths[0]), from: prefix + key)
        add("use_double_wide_mlp", .boolean(isDoubled), from: prefix + key)

        try add("hidden_size_per_layer_input", integer: "embedding_length_per_layer_input")
        let hasPerLayerInput = try integer("embedding_length_per_layer_input") > 0
        add("use_bidirectional_attention", hasPerLayerInput ? .null : "vision")
        if hasPerLayerInput {
            let table = "per_layer_token_embd.weight"
            add("vocab_size_per_layer_input", .integer(try shape(table, rank: 2)[0]), from: table)
        }
        guard file.metadata["\(prefix)expert_count"]?.integer ?? 0 > 0 else { return }
        add("enable_moe_block", .boolean(true))
        try add("num_experts", integer: "expert_count")
        try add("top_k_experts", integer: "expert_used_count")
        try add("moe_intermediate_size", integer: "expert_feed_forward_length")
    }

    private mutating func addRotary() throws(CheckpointError) {
        for (key, stored) in [("key_length", "dimension_count"), ("key_length_swa", "dimension_count_swa")] {
            guard let found = file.metadata["\(prefix)rope.\(stored)"] else { continue }
            let expected = try integer("attention.\(key)")
            guard found.integer == expected else {
                throw invalid("\(prefix)rope.\(stored)", expected: "\(expected), the size of a head", found: found)
            }
        }
        func theta(_ key: String) throws(CheckpointError) -> JSONValue {
            let value = try value(key)
            guard let number = value.number else { throw invalid(prefix + key, expected: "a number", found: value) }
            return .number(number)
        }
        add(
            "rope_parameters",
            [
                "full_attention": [
                    "rope_type": "proportional", "rope_theta": try theta("rope.freq_base"),
                    "partial_rotary_factor": .number(try turningShare()),
                ],
                "sliding_attention": ["rope_type": "default", "rope_theta": try theta("rope.freq_base_swa")],
            ],
            origins: [
                "full_attention.rope_theta": "rope.freq_base", "sliding_attention.rope_theta": "rope.freq_base_swa",
            ])
    }

    /// `rope_freqs` divides the frequencies of full-attention layers: by 1 for rotated pairs, by 1e30 for the others.
    /// Without it the published share, a quarter.
    private func turningShare() throws(CheckpointError) -> Double {
        let published = 0.25
        guard let factors = file.floats(GGUFNames.rotaryFactors) else { return published }
        let turning = factors.prefix { $0 == 1 }.count
        guard turning > 0, factors[turning...].allSatisfy({ $0 >= 1e30 }) else {
            throw CheckpointError(
                .invalidValue, file: file.path, place: GGUFNames.rotaryFactors,
                expected: "1 for the pairs that turn, then 1e30", found: "other factors", remedy: Self.remedy)
        }
        let isPublished = Int(published * Double(factors.count)) == turning
        return isPublished ? published : Double(turning) / Double(factors.count)
    }
}
