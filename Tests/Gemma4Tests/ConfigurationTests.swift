import Foundation
import TestSupport
import Testing
import Weights

@testable import Gemma4

struct ConfigurationTests {
    // MARK: What the published files say

    @Test func readsTheFileOfE2B() throws {
        let configuration = try Published.e2b.configuration
        #expect(configuration.textConfig.hiddenSize == 1536)
        #expect(configuration.textConfig.vocabSizePerLayerInput == 262_144)
        #expect(configuration.textConfig.finalLogitSoftcapping == 30)
        #expect(configuration.textConfig.maxPositionEmbeddings == 131_072)
        #expect(configuration.textConfig.padTokenId == 0)
        #expect(configuration.eosTokenIds == [1, 106])
        #expect(configuration.imageTokenId == 258_880)
        #expect(configuration.boaTokenId == 256_000)
        #expect(configuration.eoaTokenId == 258_883)
        #expect(configuration.tieWordEmbeddings)
        #expect(configuration.visionConfig?.ropeTheta == 100)
        #expect(configuration.visionConfig?.useClippedLinears == true)
        #expect(configuration.audioConfig?.attentionInvalidLogitsValue == -1e9)
        #expect(configuration.audioConfig?.headDim == 128)
    }

    @Test func largeVariantsTakeNoSound() throws {
        let configuration = try Published.dense31b.configuration
        #expect(configuration.audioConfig == nil)
        #expect(configuration.visionConfig?.standardize == true)
        #expect(configuration.textConfig.hiddenSizePerLayerInput == 0)
    }

    @Test func readsTheFileOf12B() throws {
        let configuration = try Published.unified12b.configuration
        #expect(configuration.visionConfig == nil && configuration.audioConfig == nil)
        #expect(configuration.takesImages && configuration.takesSound)
        let vision = try #require(configuration.unifiedVisionConfig)
        #expect(vision.modelPatchSize == 48 && vision.patchValues == 6912)
        #expect(vision.mmEmbedDim == 3840 && vision.mmPosembSize == 1120)
        #expect(configuration.unifiedAudioConfig?.audioEmbedDim == 640)
        #expect(configuration.textConfig.hiddenSizePerLayerInput == 0)
        #expect(configuration.eoaTokenId == 258_883)
    }

    @Test(arguments: [
        ("vision_config.model_patch_size", 16, "vision_config.model_patch_size", "48", "16"),
        ("vision_config.output_proj_dims", 640, "vision_config.output_proj_dims", "3840", "640"),
        (
            "vision_config.pooling_kernel_size", 17, "vision_config.pooling_kernel_size",
            "patches of at most 256 pixels, pooled", "17 times 16"
        ),
        (
            "audio_config.audio_samples_per_token", 320, "audio_config.audio_samples_per_token",
            "640, as audio_embed_dim", "320"
        ),
    ])
    func partsOf12BThatContradictEachOtherAreRefused(
        path: String, value: Int, place: String, expected: String, found: String
    ) throws {
        let changed = try changed(path, to: value, in: Published.unified12b.path)
        let error = #expect(throws: CheckpointError.self) { try ModelConfiguration(contentsOf: changed.path) }
        #expect(error?.place == place && error?.expected == expected && error?.found == found)
    }

    // MARK: Changed files

    /// The file of a variant with one value replaced; `nil` removes the key. `path` is dotted.
    private func changed(_ path: String, to value: Any?, in file: String = Published.e2b.path) throws -> (
        directory: TemporaryDirectory, path: String
    ) {
        let json = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: file)))
        let root = try #require(json as? [String: Any])
        let keys = path.split(separator: ".").map(String.init)
        let directory = try TemporaryDirectory()
        let text = try JSONSerialization.data(withJSONObject: replace(keys[...], in: root, by: value))
        return (directory, try directory.write(text, to: "config.json"))
    }

    private func replace(_ keys: ArraySlice<String>, in object: [String: Any], by value: Any?) -> [String: Any] {
        var object = object
        guard let key = keys.first else { return object }
        object[key] =
            keys.count == 1 ? value : replace(keys.dropFirst(), in: object[key] as? [String: Any] ?? [:], by: value)
        return object
    }

    private func message(_ path: String, _ json: String?, in file: String = Published.e2b.path) throws -> String {
        let value = try json.map { try JSONSerialization.jsonObject(with: Data($0.utf8), options: .fragmentsAllowed) }
        let changed = try changed(path, to: value, in: file)
        do {
            _ = try ModelConfiguration(contentsOf: changed.path)
            return "no error"
        } catch {
            return String(error.description.dropFirst(changed.path.count + 2))
        }
    }

    private static let remedy = "Use the config.json published beside these weights."

    @Test(arguments: [
        "model_type", "text_config", "image_token_id", "boi_token_id", "audio_token_id", "boa_token_id",
        "text_config.hidden_size", "text_config.vocab_size", "text_config.num_hidden_layers",
        "text_config.intermediate_size",
        "text_config.layer_types", "text_config.num_attention_heads", "text_config.num_key_value_heads",
        "text_config.head_dim",
        "text_config.global_head_dim", "text_config.num_kv_shared_layers", "text_config.sliding_window",
        "text_config.rope_parameters", "text_config.rope_parameters.full_attention",
        "text_config.rope_parameters.sliding_attention.rope_theta", "text_config.hidden_size_per_layer_input",
        "text_config.vocab_size_per_layer_input", "text_config.rms_norm_eps", "text_config.final_logit_softcapping",
        "text_config.max_position_embeddings", "text_config.pad_token_id", "vision_config.hidden_size",
        "vision_config.patch_size", "vision_config.rope_parameters", "audio_config.hidden_size",
        "audio_config.conv_kernel_size",
        "audio_config.subsampling_conv_channels", "audio_config.output_proj_dims",
    ])
    func missingKeysAreNamed(path: String) throws {
        #expect(
            try message(path, nil)
                == "\(path): expected a value, found none. "
                + "Use the config.json published beside these weights; a guess would be another model.")
    }

    @Test(arguments: [
        ("text_config.hidden_size", "\"1536\"", "expected an integer from 1 to 262144, found \"1536\"."),
        ("text_config.hidden_size", "-1536", "expected an integer from 1 to 262144, found -1536."),
        ("text_config.hidden_size", "1e18", "expected an integer from 1 to 262144, found 1e+18."),
        ("text_config.num_hidden_layers", "36", "expected one type for each of 36 layers, found 35."),
        ("text_config.num_key_value_heads", "3", "expected a multiple of the 3 key-value heads of layer 0, found 8."),
        ("text_config.head_dim", "255", "expected an even number in layer 0, for RoPE, found 255."),
        ("text_config.hidden_activation", "\"silu\"", "expected \"gelu_pytorch_tanh\", found \"silu\"."),
        ("text_config.attention_bias", "true", "expected false: no variant has biases in attention, found true."),
        ("text_config.use_double_wide_mlp", "1.5", "expected true or false, found 1.5."),
        (
            "text_config.use_bidirectional_attention", "\"all\"",
            "expected null or \"vision\", found \"all\"."
        ),
        ("text_config.num_kv_shared_layers", "35", "expected an integer from 0 to 34, found 35."),
        (
            "text_config.num_kv_shared_layers", "31",
            "expected a full_attention layer below 4 for layer 4 to share with, found none."
        ),
        ("text_config.rms_norm_eps", "0", "expected a number above 0.0, found 0."),
        ("text_config.final_logit_softcapping", "-30", "expected a number above 0.0, found -30."),
        ("text_config.vocab_size_per_layer_input", "1000", "expected an integer from 262144 to 16777216, found 1000."),
        (
            "text_config.rope_parameters.full_attention.rope_type", "\"yarn\"",
            "expected \"default\" or \"proportional\", found \"yarn\"."
        ),
        (
            "text_config.rope_parameters.full_attention.partial_rotary_factor", "1.5",
            "expected a share of at most 1, found 1.5."
        ),
        ("text_config.pad_token_id", "262144", "expected an integer from 0 to 262143, found 262144."),
        ("text_config.enable_moe_block", "\"yes\"", "expected true or false, found \"yes\"."),
        ("text_config.layer_types", "{}", "expected an array, found an object."),
        ("eos_token_id", "[1, \"a\"]", "expected token ids, found \"a\"."),
        ("vision_config", "[]", "expected an object, found an array of 0."),
        ("vision_config.head_dim", "66", "expected a multiple of 4, for RoPE along rows and columns, found 66."),
        ("vision_config.num_key_value_heads", "5", "expected a divisor of num_attention_heads, 12, found 5."),
        ("vision_config.hidden_activation", "\"relu\"", "expected \"gelu_pytorch_tanh\", found \"relu\"."),
        ("audio_config.num_attention_heads", "7", "num_attention_heads, 7, found 1024."),
        ("audio_config.subsampling_conv_channels", "[128]", "expected two numbers, found 1."),
        ("audio_config.attention_context_right", "3", "expected 0: the encoder looks back only, found 3."),
        ("audio_config.hidden_act", "\"gelu\"", "expected \"silu\", found \"gelu\"."),
    ])
    func valuesThatCannotBeRunAreRefused(path: String, json: String, expected: String) throws {
        let message = try message(path, json)
        #expect(message.contains("\(expected) \(Self.remedy)"), "\(message)")
    }

    @Test(arguments: [
        (
            "{\"4\": {\"head_dim\": 512}, \"04\": {\"head_dim\": 512}}",
            "per_layer_config.4: expected the number of a layer below 35, once"
        ),
        (
            "{\"35\": {\"head_dim\": 512}}",
            "per_layer_config.35: expected the number of a layer below 35, once, found \"35\"."
        ),
        (
            "{\"04\": {\"intermediate_size\": 5}}",
            "per_layer_config.04.intermediate_size: expected head_dim and num_key_value_heads only"
        ),
        (
            "{\"34\": {\"head_dim\": 512}}",
            "expected 1 heads of 256 in layer 34, as in layer 14, whose keys and values it reads, found 1 of 512."
        ),
    ])
    func overridesOfSingleLayersAreChecked(json: String, expected: String) throws {
        let message = try message("text_config.per_layer_config", json)
        #expect(message.contains(expected), "\(message)")
    }

    @Test(arguments: [
        ("gemma3n", "Gemma 3n, an older family with other layers"),
        ("gemma3", "Gemma 3, an older family with other layers"),
        ("llama", "another family of models"),
    ])
    func otherModelsAreRefusedByName(type: String, kind: String) throws {
        #expect(
            try message("model_type", "\"\(type)\"")
                == "model_type: expected \"gemma4\", found \"\(type)\" (\(kind)). "
                + "This program runs Gemma 4 E2B, E4B, 12B, 31B and 26B-A4B."
                + (type.hasPrefix("gemma3") ? " Download google/gemma-4-E2B-it." : ""))
    }

    /// Models published beside Gemma 4, with the equivalent here.
    @Test(arguments: [
        ("gemma4_assistant", 2560, "", "a draft model of Gemma 4, ", "Give the model itself, google/gemma-4-E4B-it."),
        (
            "gemma4_unified_assistant", 3840, "", "a draft model of Gemma 4, ",
            "Give the model itself, google/gemma-4-12B-it."
        ),
        ("diffusion_gemma", 0, "", "DiffusionGemma, ", "Download google/gemma-4-26B-A4B-it, which it was made from."),
        ("t5gemma2", 0, "", "T5Gemma, ", "This program runs Gemma 4 "),
        ("gemma3_text", 0, "{{ '<start_function_declaration>' }}", "FunctionGemma, ", "This program runs Gemma 4 "),
        ("gemma3", 0, "{{ content['source_lang_code'] }}", "TranslateGemma, ", "This program runs Gemma 4 "),
    ])
    func relativesAreRefusedByName(type: String, width: Int, template: String, kind: String, remedy: String) throws {
        let directory = try TemporaryDirectory()
        try directory.write(template.utf8, to: "chat_template.jinja")
        let json = #"{"model_type": "\#(type)", "backbone_hidden_size": \#(width)}"#
        let path = try directory.write(json.utf8, to: "config.json")
        let error = #expect(throws: CheckpointError.self) { try ModelConfiguration(contentsOf: path) }
        #expect(error?.found.hasPrefix("\"\(type)\" (\(kind)") == true, "\(error?.found ?? "")")
        #expect(error?.remedy?.hasPrefix(remedy) == true, "\(error?.remedy ?? "")")
        #expect(error?.code == .unsupportedModel && error?.place == "model_type")
    }

    /// Weights of few bits in formats of other programs, each by its name.
    @Test(arguments: [
        (#"{"quant_method": "fp8"}"#, "FP8"),
        (
            #"{"quant_method": "compressed-tensors", "format": "float-quantized"}"#,
            "FP8 (compressed-tensors, float-quantized)"
        ),
        (
            #"{"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}"#,
            "NVFP4 (compressed-tensors, nvfp4-pack-quantized)"
        ),
        (
            #"{"quant_method": "compressed-tensors", "format": "mixed-precision"}"#,
            "compressed-tensors (mixed-precision)"
        ),
        (#"{"quant_method": "modelopt", "quant_algo": "NVFP4"}"#, "NVFP4 (ModelOpt)"),
        (#"{"quant_method": "awq", "bits": 4, "group_size": 128}"#, "AWQ"),
        (#"{"quant_method": "gptq", "bits": 4, "group_size": 128}"#, "GPTQ"),
        (#"{"quant_method": "bitsandbytes", "load_in_4bit": true}"#, "bitsandbytes"),
        (#"{"quant_method": "torchao"}"#, "torchao"),
        (#"{"bits": 4, "group_size": 64, "mode": "affine"}"#, "MLX (4 bits)"),
    ])
    func formatsOfFewBitsAreRefusedByName(json: String, format: String) throws {
        for key in ["quantization_config", "text_config.quantization_config"] {
            #expect(
                try message(key, json)
                    == "\(key): expected weights in bf16, f16 or f32, found weights in \(format). "
                    + "Download google/gemma-4-E2B-it, or a GGUF file of it.")
        }
        if format.hasPrefix("MLX") {
            #expect(
                try message("quantization", json, in: Published.dense31b.path)
                    == "quantization: expected weights in bf16, f16 or f32, found weights in MLX (4 bits). "
                    + "Download google/gemma-4-31B-it, or a GGUF file of it.")
        }
    }

    @Test func aFormatInAFileOfItsOwnIsRefused() throws {
        let directory = try TemporaryDirectory()
        try directory.write(#"{"quantization": {"quant_algo": "W4A16_AWQ"}}"#.utf8, to: "hf_quant_config.json")
        let path = try directory.write(Data(contentsOf: URL(filePath: Published.e2b.path)), to: "config.json")
        let error = #expect(throws: CheckpointError.self) { try ModelConfiguration(contentsOf: path) }
        #expect(error?.found == "weights in AWQ (ModelOpt)" && error?.place == nil)
    }

    // MARK: Traps of both spellings

    @Test func perLayerConfigurationWins() throws {
        let layers = Dictionary(
            uniqueKeysWithValues: stride(from: 4, to: 35, by: 5).map { ("\($0)", ["head_dim": 128]) })
        let changed = try changed("text_config.per_layer_config", to: layers)
        let plans = try ModelConfiguration(contentsOf: changed.path).textConfig.layerPlans
        #expect(plans[4].headDimension == 128)
        #expect(plans[3].headDimension == 256)
    }

    /// Without `attention_k_eq_v` the reference ignores the other number of heads.
    @Test func globalKeyValueHeadsNeedEqualKeysAndValues() throws {
        let changed = try changed("text_config.attention_k_eq_v", to: false, in: Published.dense31b.path)
        let plans = try ModelConfiguration(contentsOf: changed.path).textConfig.layerPlans
        #expect(plans[5].numKeyValueHeads == 16)
        #expect(!plans[5].keysAreValues)
    }

    @Test func theLastLayerIsFull() throws {
        let text = try changed(
            "text_config.layer_types", to: [String](repeating: "sliding_attention", count: 60),
            in: Published.dense31b.path)
        let plans = try ModelConfiguration(contentsOf: text.path).textConfig.layerPlans
        #expect(plans[58].window == 1024)
        #expect(plans[59].window == nil)
    }

    @Test func expertsMayBeSpeltOtherwise() throws {
        let first = try changed("text_config.expert_intermediate_size", to: 704, in: Published.sparse26b.path)
        let second = try changed("text_config.moe_intermediate_size", to: nil, in: first.path)
        let plans = try ModelConfiguration(contentsOf: second.path).textConfig.layerPlans
        #expect(plans[0].experts?.moeIntermediateSize == 704)
    }

    /// A decoder saved alone has the keys of `text_config` at top level.
    @Test func readsADecoderSavedAlone() throws {
        let json = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: Published.e4b.resavedPath)))
        let text = try #require((json as? [String: Any])?["text_config"])
        let directory = try TemporaryDirectory()
        let path = try directory.write(JSONSerialization.data(withJSONObject: text), to: "config.json")
        let configuration = try ModelConfiguration(contentsOf: path)
        #expect(configuration.textConfig == (try ModelConfiguration(contentsOf: Published.e4b.resavedPath)).textConfig)
        #expect(configuration.visionConfig == nil && configuration.imageTokenId == nil)
    }

    @Test func switchesThatAreAbsentAreOff() throws {
        let changed = try changed("text_config.use_double_wide_mlp", to: nil)
        #expect(try ModelConfiguration(contentsOf: changed.path).textConfig.layerPlans[20].intermediateSize == 6144)
    }

    @Test func brokenJSONNamesTheLine() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("{\n  \"model_type\": gemma4\n}".utf8, to: "config.json")
        #expect(throws: CheckpointError.self) { try ModelConfiguration(contentsOf: path) }
        do {
            _ = try ModelConfiguration(contentsOf: path)
        } catch {
            #expect(
                error.description
                    == "\(path), line 2, column 17: expected a value, found 'g'. Download the file again, or mend it there."
            )
        }
    }

    // MARK: The other files

    @Test(arguments: Published.allCases)
    func readsGenerationDefaults(variant: Published) throws {
        let path = variant.path.replacing("config.json", with: "generation_config.json")
        let generation = try GenerationConfiguration(contentsOf: path)
        #expect(generation.eosTokenIds == [1, 106, 50])
        #expect(generation.doSample)
        #expect(generation.temperature == 1)
        #expect(generation.topK == 64)
        #expect(generation.topP == 0.95)
        #expect(generation.minP == nil)
        #expect(generation.suppressTokens == (variant == .unified12b ? [258_883, 258_882] : []))
    }

    @Test func readsOtherGenerationFiles() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write(
            #"{"eos_token_id": 7, "suppress_tokens": [258883, 258882], "top_k": null}"#.utf8, to: "g.json")
        let generation = try GenerationConfiguration(contentsOf: path)
        #expect(generation.eosTokenIds == [7])
        #expect(generation.suppressTokens == [258_883, 258_882])
        #expect(!generation.doSample)
        #expect(generation.topK == nil)
        let absent = try GenerationConfiguration(contentsOf: "\(directory.path)/none.json")
        #expect(absent.eosTokenIds == [] && !absent.doSample)

        let wrong = try directory.write(#"{"top_p": 1.5}"#.utf8, to: "wrong.json")
        #expect(
            throws: CheckpointError(
                .invalidValue, file: wrong, place: "top_p", expected: "a number from 0.0 to 1.0", found: "1.5",
                remedy: "Use the wrong.json published beside these weights.")
        ) { try GenerationConfiguration(contentsOf: wrong) }
    }

    @Test func readsTheProcessor() throws {
        let directory = try TemporaryDirectory()
        let text =
            #"{"image_processor": {"max_soft_tokens": 560, "size": {"height": 224}}, "feature_extractor": {"mel_floor": 0.01}}"#
        let processor = try ProcessorConfiguration(contentsOf: directory.write(text.utf8, to: "p.json"))
        #expect(processor.imageMaxSoftTokens == 560)
        #expect(processor.videoMaxSoftTokens == 70)
        #expect(processor.videoNumFrames == 32)
        #expect(processor.featureExtractor.melFloor == 0.01)
        #expect(processor.featureExtractor.frameLength == 320)
        let absent = try ProcessorConfiguration(contentsOf: "\(directory.path)/none.json")
        #expect(absent.imageMaxSoftTokens == 280)
        #expect(absent.featureExtractor.samplingRate == 16_000)

        let wrong = try directory.write(#"{"image_processor": {"max_soft_tokens": 300}}"#.utf8, to: "wrong.json")
        #expect(
            throws: CheckpointError(
                .invalidValue, file: wrong, place: "image_processor.max_soft_tokens",
                expected: "one of 70, 140, 280, 560, 1120",
                found: "300", remedy: "Use the wrong.json published beside these weights.")
        ) { try ProcessorConfiguration(contentsOf: wrong) }
    }

    /// The 12B's feature extractor returns frames of samples, more values than mel bands could be.
    @Test func readsTheProcessorOf12B() throws {
        let processor = try ProcessorConfiguration(
            contentsOf: "\(Goldens.checkpoint("12B"))/processor_config.json")
        #expect(processor.featureExtractor == MelSpectrogram.Configuration())
        #expect(processor.imageMaxSoftTokens == 70)

        let directory = try TemporaryDirectory()
        let text = #"{"feature_extractor": {"audio_samples_per_token": 640, "sampling_rate": 24000}}"#
        let file = try directory.write(text.utf8, to: "p.json")
        #expect(
            throws: CheckpointError(
                .invalidValue, file: file, place: "feature_extractor.sampling_rate", expected: "16000", found: "24000",
                remedy: "Use the p.json published beside these weights.")
        ) { try ProcessorConfiguration(contentsOf: file) }
    }

    @Test(arguments: [1, 80, 127, 129, 1_024])
    func refusesOtherMelBandsThanTheTowerTakes(bands: Int) throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write(#"{"feature_extractor": {"feature_size": \#(bands)}}"#.utf8, to: "p.json")
        #expect(
            throws: CheckpointError(
                .invalidValue, file: file, place: "feature_extractor.feature_size",
                expected: "128, the mel bands that the audio tower takes", found: "\(bands)",
                remedy: "Use the p.json published beside these weights.")
        ) { try ProcessorConfiguration(contentsOf: file) }
    }

    @Test(arguments: [(#""rescale_factor": 0.5"#, "0.5"), (#""do_rescale": false"#, "do_rescale false")])
    func refusesAnotherScaleOfPixels(key: String, found: String) throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write(#"{"image_processor": {\#(key)}}"#.utf8, to: "p.json")
        #expect(
            throws: CheckpointError(
                .invalidValue, file: file, place: "image_processor.rescale_factor", expected: "1/255, applied",
                found: found,
                remedy: "Use the p.json published beside these weights.")
        ) { try ProcessorConfiguration(contentsOf: file) }
    }
}
