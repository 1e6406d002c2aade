import JSONText
import Weights

/// Checkpoints published beside Gemma 4 that this program does not run: describes them and names what to download
/// instead.
enum ForeignCheckpoint {
    // MARK: Other models

    /// A description of the model with this `model_type`, or `general.architecture`.
    ///
    /// - Parameter template: the source of its chat template, which distinguishes models of the same architecture.
    static func kind(of modelType: String, template: String? = nil) -> String {
        switch modelType {
        case "gemma4_assistant", "gemma4-assistant", "gemma4_unified_assistant":
            "a draft model of Gemma 4, which only runs beside the model it drafts for"
        case "diffusion_gemma", "diffusion_gemma_text", "diffusion-gemma":
            "DiffusionGemma, which writes whole blocks of a text at once"
        case "t5gemma", "t5gemma2", "t5gemma2_text": "T5Gemma, an encoder and a decoder of other layers"
        case "gemma3n", "gemma3n_text": "Gemma 3n, an older family with other layers"
        case "gemma3", "gemma3_text":
            if template?.contains("<start_function_declaration>") == true {
                "FunctionGemma, a Gemma 3 of 270M parameters for calls of functions"
            } else if template?.contains("source_lang_code") == true {
                "TranslateGemma, a Gemma 3 for translations"
            } else {
                "Gemma 3, an older family with other layers"
            }
        case "gemma-embedding": "EmbeddingGemma, which makes vectors of texts"
        case "gemma2": "Gemma 2, an older family with other layers"
        case "gemma": "Gemma 1, an older family with other layers"
        default: "another family of models"
        }
    }

    /// The replacement to download.
    static func replacement(for modelType: String, _ root: ConfigurationObject? = nil) -> String {
        switch modelType {
        case "gemma4_assistant", "gemma4-assistant", "gemma4_unified_assistant":
            root.map { "Give the model itself, \(repository($0))." }
                ?? "Give the model's own file, beside which this one is published."
        case "diffusion_gemma", "diffusion_gemma_text", "diffusion-gemma":
            "Download google/gemma-4-26B-A4B-it, which it was made from."
        case "gemma-embedding": "Download google/embeddinggemma-2, and give it to gemma4 embed."
        default:
            "This program runs Gemma 4 E2B, E4B, 12B, 31B and 26B-A4B."
                + (modelType.hasPrefix("gemma4") || !modelType.contains("gemma")
                    ? "" : " Download google/gemma-4-E2B-it.")
        }
    }

    /// The published repository of the variant with the decoder width of a configuration, or with the width of the
    /// target of a draft model.
    private static func repository(_ root: ConfigurationObject) -> String {
        let names = [1536: "E2B", 2560: "E4B", 3840: "12B", 5376: "31B", 2816: "26B-A4B"]
        let text = (try? root.objectIfPresent("text_config")) ?? root
        if root.value("model_type")?.string == "embedding_gemma2" { return "google/embeddinggemma-2" }
        guard case .integer(let width)? = root.value("backbone_hidden_size") ?? text.value("hidden_size"),
            let name = names[width]
        else { return "google/gemma-4-E2B-it" }
        return "google/gemma-4-\(name)-it"
    }

    // MARK: Other formats

    /// - Throws: `CheckpointError` if weights are stored in a quantized format that this program does not read.
    static func check(_ root: ConfigurationObject) throws(CheckpointError) {
        let text = try root.objectIfPresent("text_config")
        var found: (place: String?, format: String)?
        for (object, key) in [(root, "quantization_config"), (text, "quantization_config"), (root, "quantization")] {
            guard found == nil, let object, let format = object.value(key).flatMap(format) else { continue }
            found = (object.keyPath(key), format)
        }
        guard let found = found ?? formatBeside(root.file).map({ (nil, $0) }) else { return }
        throw CheckpointError(
            .unsupportedModel, file: root.file, place: found.place, expected: "weights in bf16, f16 or f32",
            found: "weights in \(found.format)",
            remedy: "Download \(repository(root)), or a GGUF file of it.")
    }

    /// The name of an unsupported format; nil for supported ones.
    private static func format(_ json: JSONValue) -> String? {
        let method = json["quant_method"]?.string?.lowercased()
        let scheme = (json["quant_algo"] ?? json["format"])?.string?.lowercased() ?? ""
        let bits = json["bits"]?.summary
        func named(_ name: String, _ detail: String?) -> String { detail.map { "\(name) (\($0))" } ?? name }
        switch method {
        case "gemma": return nil
        case "compressed-tensors":
            if scheme == "pack-quantized" { return nil }
            return name(ofScheme: scheme).map { "\($0) (compressed-tensors, \(scheme))" }
                ?? named("compressed-tensors", scheme.isEmpty ? nil : scheme)
        case "modelopt", "modelopt_fp4": return named(name(ofScheme: scheme) ?? "NVFP4", "ModelOpt")
        case "fp8", "fbgemm_fp8": return "FP8"
        case "nvfp4", "mxfp4", "mxfp8", "awq", "gptq", "hqq", "aqlm": return method?.uppercased()
        case "bitsandbytes": return "bitsandbytes"
        case let method?: return method
        case nil: return json["group_size"] == nil && bits == nil ? nil : named("MLX", bits.map { "\($0) bits" })
        }
    }

    private static func name(ofScheme scheme: String) -> String? {
        ["nvfp4", "mxfp4", "mxfp8", "fp8", "awq"].first(where: scheme.contains)?.uppercased()
            ?? (scheme.hasPrefix("float") ? "FP8" : scheme.hasPrefix("int") ? "INT8" : nil)
    }

    /// NVIDIA's tools write the format to a separate file.
    private static func formatBeside(_ configuration: String) -> String? {
        let json = try? JSONValue(contentsOf: path("hf_quant_config.json", beside: configuration))
        return json?["quantization"]?["quant_algo"]?.string.map {
            "\(name(ofScheme: $0.lowercased()) ?? $0) (ModelOpt)"
        }
    }

    /// The source of the chat template of a directory, from the path of its `config.json`; nil if it has none.
    static func templateBeside(_ configuration: String) -> String? {
        if let file = try? MappedFile(path("chat_template.jinja", beside: configuration)) {
            return withExtendedLifetime(file) { String(decoding: file.bytes, as: UTF8.self) }
        }
        let tokenizer = try? JSONValue(contentsOf: path("tokenizer_config.json", beside: configuration))
        return tokenizer?["chat_template"]?.string
    }

    private static func path(_ name: String, beside file: String) -> String {
        (file.split(separator: "/", omittingEmptySubsequences: false).dropLast() + [Substring(name)])
            .joined(separator: "/")
    }

    /// MLX stores convolutions with the input channels last, the only difference of its bf16 files.
    static func isChannelsLast(_ mismatch: TensorMismatch) -> Bool {
        guard case .misshapen(_, let expected, let found) = mismatch, expected.rank > 2 else { return false }
        var moved = expected.dimensions
        let channels = moved.remove(at: 1)
        moved.append(channels)
        return moved == found && found != expected.dimensions
    }
}
