import Conversion
import Foundation
import Gemma4
import Generation
import Tensors
import TestSupport
import Testing
import Tokenization

@testable import Gemma4Kit
@testable import Weights

/// The golden checkpoints, exported to GGUF and loaded again.
struct GGUFModelTests {
    private let directory: TemporaryDirectory
    private var model: String { "\(directory.path)/model.gguf" }
    private var projector: String { "\(directory.path)/mmproj-model.gguf" }

    init() throws { directory = try TemporaryDirectory() }

    /// Writes model and towers of a golden checkpoint; matrices whose rows are no whole blocks stay as they were.
    private func export(_ variant: String, as type: ElementType?) throws {
        let export = try GGUFExport(contentsOf: URL(filePath: Goldens.checkpoint(variant)))
        for file in export.files {
            try export.write(
                file, to: file == .text ? model : projector,
                types: .init(layers: type, head: type, perLayerTable: type, towers: type))
        }
    }

    private func open(_ activations: Activations = .int8, threadCount: Int? = nil) throws -> Gemma4Pipeline {
        var precision = Precision()
        precision.activations = activations
        return try Gemma4Pipeline(contentsOf: URL(filePath: model), threadCount: threadCount, precision: precision)
    }

    // MARK: Answers

    /// The same weights give the same tokens, and log-probabilities that are bit-identical if the stored bytes equal
    /// the directory's. The patch projection is f32 in GGUF, and the scale of the audio scores is restored through a
    /// logarithm: with media, log-probabilities differ by as little as the order of additions changes them.
    @Test(
        arguments: GoldenCase.all.filter {
            // E4B's audio tower has other constants here than the published one, and GGUF carries none of them.
            ["long-text", "suppressed"].contains($0.name)
                || $0.name == (["E2B", "12B"].contains($0.variant) ? "image-audio" : "images")
        }, [nil, .float32, .float16] as [Tensors.ElementType?])
    func answersAsTheDirectory(golden: GoldenCase, type: Tensors.ElementType?) async throws {
        try export(golden.variant, as: type)
        let found = try await answer(golden, open())
        #expect(found.tokens == golden.tokens)
        let expected = try await answer(golden, Gemma4Pipeline(contentsOf: URL(filePath: golden.checkpoint)))
        let isExact = type == nil && golden.name == "long-text"
        for (found, expected) in zip(found.logprobs, expected.logprobs) {
            #expect(abs(found - expected) <= (isExact ? 0 : 2e-3))
        }
    }

    /// 8-bit weights change the logits of a random net by more than the margins of its choices, so the file is compared
    /// with the same values in f32.
    @Test(arguments: Goldens.variants)
    func blocksMeanTheirNumbers(variant: String) async throws {
        try export(variant, as: .q8_0)
        let blocks = try GGUFShards(model)
        let decoded = "\(directory.path)/decoded.gguf"
        let isQuantised = blocks.files[0].tensors.filter { $0.elementType == .q8_0 }
        #expect(!isQuantised.isEmpty)
        let device = Device(threadCount: 1)
        let checkpoint = try Checkpoint([blocks]) { ($0, .published) }
        var writer = try GGUFWriter(
            decoded, metadata: blocks.metadata.map { ($0.key, $0.value) },
            tensors: blocks.files[0].tensors.map { .init($0.name, .float32, Shape($0.shape)) })
        for entry in blocks.files[0].tensors {
            let tensor = try checkpoint.tensor(entry.name, Shape(entry.shape), on: device)
            try tensor?.toArray().withUnsafeBytes { try writer.append($0) }
        }
        try writer.finish()
        let golden = try #require(GoldenCase.all.first { $0.variant == variant && $0.name == "long-text" })
        let found = try await answer(golden, open(.float32))
        let expected = try await answer(golden, Gemma4Pipeline(contentsOf: URL(filePath: decoded)))
        #expect(found.tokens == expected.tokens)
        for (found, expected) in zip(found.logprobs, expected.logprobs) { #expect(abs(found - expected) <= 2e-3) }
    }

    /// Types that this program does not write: a file of random blocks, and the same values in f32.
    @Test(arguments: [ElementType.iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s, .mxfp4])
    func blocksOfGridsMeanTheirNumbers(type: Tensors.ElementType) throws {
        let demo = Goldens.folder.deletingLastPathComponent().deletingLastPathComponent().appending(path: "Models/Demo")
        let (blocks, decoded) = ("\(directory.path)/blocks.gguf", "\(directory.path)/decoded.gguf")
        try GGUFExport(contentsOf: demo).write(.text, to: model, types: .init(layers: .float32, head: .float32))
        func isReplaced(_ name: String) -> Bool { name.hasSuffix("ffn_down.weight") }
        func rewrite(_ source: String, to target: String, as type: ElementType?) throws {
            let shards = try GGUFShards(source)
            let checkpoint = try Checkpoint([shards]) { ($0, .published) }
            let tensors = shards.files[0].tensors
            var writer = try GGUFWriter(
                target, metadata: shards.metadata.map { ($0.key, $0.value) },
                tensors: tensors.map {
                    .init($0.name, isReplaced($0.name) ? type ?? .float32 : .float32, Shape($0.shape))
                })
            var numbers = SeededNumbers(seed: 11)
            for entry in tensors {
                if let type, isReplaced(entry.name) {
                    let bytes = Self.randomBlocks(type, entry.shape.reduce(1, *), &numbers)
                    try bytes.withUnsafeBytes { try writer.append($0) }
                } else {
                    let tensor = try checkpoint.tensor(entry.name, Shape(entry.shape), on: Device(threadCount: 1))
                    try tensor?.toArray().withUnsafeBytes { try writer.append($0) }
                }
            }
            try writer.finish()
        }
        try rewrite(model, to: blocks, as: type)
        #expect(try GGUFFile(blocks).tensors.count { $0.elementType == type } == 8)
        try rewrite(blocks, to: decoded, as: nil)
        func logits(_ file: String, _ activations: Activations) throws -> [Float] {
            var precision = Precision()
            precision.activations = activations
            precision.keyValueType = .float32
            let model = try Gemma4Pipeline(contentsOf: URL(filePath: file), precision: precision).model
            let tokens = (0..<40).map { 100 + 7 * $0 }
            return model.logits(try model([.init(tokens: tokens, wantedRows: [39], cache: model.makeCache())]))
                .toArray()
        }
        let expected = try logits(decoded, .float32)
        expectClose(try logits(blocks, .float32), expected, absolute: 2e-3)
        let rounded = try logits(blocks, .int8)
        #expect(rounded != expected && cosine(rounded, expected) > 0.99, "\(cosine(rounded, expected))")
    }

    /// Random bytes, with scales for which weights are about as large as trained ones.
    private static func randomBlocks(_ type: ElementType, _ count: Int, _ numbers: inout SeededNumbers) -> [UInt8] {
        var bytes = numbers.floats(type.byteCount(count)).map { UInt8(truncatingIfNeeded: Int($0 * 65_536)) }
        for block in stride(from: 0, to: bytes.count, by: type.blockByteCount) {
            if type == .mxfp4 {
                bytes[block] = 121  // 2⁻⁶
            } else {
                let scale = Float16(type == .iq3_s ? 0.0003 : 0.001).bitPattern
                (bytes[block], bytes[block + 1]) = (UInt8(scale & 255), UInt8(scale >> 8))
            }
        }
        return bytes
    }

    /// 8-bit activations change the logits, but the result does not depend on the number of threads. (The rows of the
    /// other golden models are not a multiple of the block.)
    @Test(arguments: ["E2B", "31B"])
    func eightBitActivationsAreReproducible(variant: String) async throws {
        try export(variant, as: .q8_0)
        let golden = try #require(GoldenCase.all.first { $0.variant == variant && $0.name == "long-text" })
        let (one, three) = (try open(threadCount: 1), try open(threadCount: 3))
        func logits(_ pipeline: Gemma4Pipeline, of count: Int = 60, chunk: Int) throws -> [Float] {
            let tokens = Array(golden.promptTokens.prefix(count))
            let cache = pipeline.model.makeCache()
            var last: [Float] = []
            for start in stride(from: 0, to: tokens.count, by: chunk) {
                let part = Array(tokens[start..<min(tokens.count, start + chunk)])
                let hidden = try pipeline.model([.init(tokens: part, wantedRows: [part.count - 1], cache: cache)])
                last = pipeline.model.logits(hidden).toArray()
            }
            return last
        }
        let expected = try logits(one, chunk: 60)
        #expect(try logits(three, chunk: 60) == expected)
        let exact = try logits(open(.float32), chunk: 60)
        // Activations are quantized to 1/254 of their block's largest value: measured 0.9885 on E2B, 0.9988 on 31B.
        #expect(expected != exact && cosine(expected, exact) > 0.98, "\(cosine(expected, exact))")
        // Nor with how a prompt is cut. (Up to 32 tokens stream the bf16 weights of the model, in another order.)
        let whole = try logits(one, of: 32, chunk: 32)
        for chunk in [1, 7, 16] { #expect(try logits(three, of: 32, chunk: chunk) == whole) }
    }

    private func cosine(_ a: [Float], _ b: [Float]) -> Double {
        func dot(_ a: [Float], _ b: [Float]) -> Double { zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
        return dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
    }

    private func answer(_ golden: GoldenCase, _ pipeline: Gemma4Pipeline) async throws -> Answer {
        // GGUF does not store the soft-token budget.
        let budget = try ModelSource(contentsOf: URL(filePath: golden.checkpoint)).processorConfiguration()
        let prompt = PromptOptions(
            imageTokens: budget.imageMaxSoftTokens,
            resolver: .files(in: golden.mediaFolder))
        return try await pipeline.generate(
            golden.messages, prompt: prompt, options: .init(sampling: .greedy, maxTokens: golden.tokens.count)
        )
        .answer()
    }

    // MARK: Parts

    @Test(arguments: Goldens.variants)
    func partsAreThoseOfTheDirectory(variant: String) throws {
        try export(variant, as: nil)
        let (found, expected) = (try open(), try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint(variant))))
        #expect(found.model.configuration.textConfig == expected.model.configuration.textConfig)
        #expect(found.model.configuration.visionConfig == expected.model.configuration.visionConfig)
        #expect(variant == "E4B" || found.model.configuration == expected.model.configuration)
        #expect(found.chatTemplate == expected.chatTemplate && found.chatTemplate.isRecognized)
        #expect(found.stopTokens == expected.stopTokens)
        #expect(found.tokenizer.vocabularySize == expected.tokenizer.vocabularySize)
        for text in ["one two  three\n\n\n", "é\u{65}\u{301} 😊\t<0x0A>", "<|turn>user\n<unk><bos>a b<turn|>", ""] {
            for parseSpecial in [true, false] {
                let ids = expected.tokenizer.encode(text, parseSpecial: parseSpecial)
                #expect(found.tokenizer.encode(text, parseSpecial: parseSpecial) == ids)
                for skipSpecial in [true, false] {
                    #expect(
                        found.tokenizer.decode(ids, skipSpecial: skipSpecial)
                            == expected.tokenizer.decode(ids, skipSpecial: skipSpecial))
                }
            }
        }
    }

    @Test func aFolderWithOneModelIsThatModel() throws {
        try export("E2B", as: nil)
        let folder = URL(filePath: directory.path, directoryHint: .isDirectory)
        #expect(try Gemma4Pipeline(contentsOf: folder).model.configuration.audioConfig != nil)
        try FileManager.default.copyItem(atPath: model, toPath: "\(directory.path)/other.gguf")
        #expect(
            failure { try Gemma4Pipeline(contentsOf: folder) }
                == "\(folder.path): expected one model, found 2: model.gguf, other.gguf. Give the path of one of them.")
        for name in ["model.gguf", "other.gguf"] {
            try FileManager.default.removeItem(atPath: "\(directory.path)/\(name)")
        }
        #expect(
            failure { try Gemma4Pipeline(contentsOf: folder) }
                == "\(folder.path): expected a model, found towers alone: mmproj-model.gguf. Its text model belongs beside them."
        )
    }

    /// Companion files are ignored by their names; a split model is opened by any one shard.
    @Test func aFolderWithOneModelAndItsCompanionsIsThatModel() throws {
        try export("E2B", as: nil)
        let folder = URL(filePath: directory.path, directoryHint: .isDirectory)
        for name in ["mtp-model.gguf", "imatrix_unsloth.gguf", "Imatrix.gguf"] {
            try FileManager.default.copyItem(atPath: model, toPath: "\(directory.path)/\(name)")
        }
        // Published beside GGUF files, it describes the original checkpoint.
        try directory.write("{}".utf8, to: "config.json")
        func opened() throws -> String? {
            guard case .gguf(let text, _) = try ModelSource(contentsOf: folder) else { return nil }
            return URL(filePath: text.path).lastPathComponent
        }
        #expect(try opened() == "model.gguf")
        // Detected by its first bytes, not by its name.
        try FileManager.default.moveItem(atPath: model, toPath: "\(directory.path)/sha256-0a")
        #expect(try opened() == "sha256-0a")
        #expect(
            try Gemma4Pipeline(contentsOf: folder.appending(path: "sha256-0a")).model.configuration.audioConfig != nil)
        for number in 2...3 {
            try FileManager.default.copyItem(
                atPath: projector, toPath: "\(directory.path)/of-more-0000\(number)-of-00003.gguf")
        }
        #expect(
            failure { try opened() }
                == "\(folder.path): expected one model, found 2: of-more-00002-of-00003.gguf, sha256-0a. Give the path of one of them."
        )
        for name in ["sha256-0a", "of-more-00002-of-00003.gguf", "of-more-00003-of-00003.gguf"] {
            try FileManager.default.removeItem(atPath: "\(directory.path)/\(name)")
        }
        try FileManager.default.removeItem(atPath: "\(directory.path)/config.json")
        #expect(
            failure { try opened() }
                == "\(folder.path): expected a model, found Imatrix.gguf, imatrix_unsloth.gguf, mmproj-model.gguf, mtp-model.gguf, none of which is one by its name. Give the path of a model."
        )
    }

    /// Some published files call `<eos>` a normal token, and name other tokens as the end of a text or of a turn.
    @Test func namedTokensAreSpecialWhateverTheirType() throws {
        try export("E2B", as: nil)
        let (expected, stops) = try (open().tokenizer, open().stopTokens)
        let base = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"].map { expected.specialTokens[$0] ?? -1 }
        let (first, second) = (expected.encode("o")[0], expected.encode("e")[0])
        #expect(!stops.contains(first) && !stops.contains(second) && !base.contains(-1))
        try rewrite { metadata, _ in
            var types = metadata["tokenizer.ggml.token_type"]?.array?.integers ?? []
            for id in base { types[id] = 1 }
            metadata["tokenizer.ggml.token_type"] = .array(GGUFArray(types.map { Int32($0) }))
            metadata["tokenizer.ggml.eos_token_id"] = .uint32(UInt32(first))
            metadata["tokenizer.ggml.eot_token_id"] = .uint32(UInt32(second))
            metadata["tokenizer.ggml.seperator_token_id"] = .uint32(.max)
        }
        let found = try open()
        for text in ["<pad><eos><bos><unk><mask>", "a<eos>b"] {
            #expect(found.tokenizer.encode(text, parseSpecial: true) == expected.encode(text, parseSpecial: true))
        }
        #expect(found.tokenizer.decode(base, skipSpecial: true).isEmpty)
        #expect(found.tokenizer.specialTokens.contains(first) && found.tokenizer.specialTokens.contains(second))
        #expect(found.stopTokens == stops.union([first, second]))
        #expect(found.generationConfiguration.eosTokenIds.contains(second))
    }

    @Test func takesTextAloneWithoutTowers() throws {
        try export("E2B", as: nil)
        try FileManager.default.moveItem(atPath: projector, toPath: "\(directory.path)/towers.gguf")
        #expect(try open().model.configuration.visionConfig == nil)
        let towers = URL(filePath: "\(directory.path)/towers.gguf")
        let given = try Gemma4Pipeline(contentsOf: URL(filePath: model), projector: towers)
        #expect(given.model.configuration.audioConfig != nil)
    }

    /// Of several mmproj files the one with the model's name is chosen, else the one nearest to bf16, else none.
    @Test func choosesAmongSeveralTowers() throws {
        try export("E2B", as: nil)
        let towers = "\(directory.path)/towers"
        try FileManager.default.moveItem(atPath: projector, toPath: towers)
        func chosen(_ names: String...) throws -> String? {
            for name in names { try FileManager.default.copyItem(atPath: towers, toPath: "\(directory.path)/\(name)") }
            guard case .gguf(_, let projector) = try ModelSource(contentsOf: URL(filePath: model)) else { return nil }
            return projector.map { URL(filePath: $0.path).lastPathComponent }
        }
        #expect(try chosen() == nil)
        #expect(try chosen("MMPROJ-b.GGUF") == "MMPROJ-b.GGUF")
        #expect(try chosen("a-mmproj.gguf") == nil)
        #expect(try chosen("mmproj-F16.gguf") == "mmproj-F16.gguf")
        #expect(try chosen("mmproj-BF16.gguf") == "mmproj-BF16.gguf")
        #expect(try chosen("mmproj-model.gguf") == "mmproj-model.gguf")
    }

    /// Towers of another model in the folder are skipped with a notice, and matching ones are used.
    @Test func passesOverTowersOfAnotherModel() throws {
        try export("31B", as: nil)
        let foreign = "\(directory.path)/mmproj-of31B.gguf"
        try FileManager.default.moveItem(atPath: projector, toPath: foreign)
        try export("E2B", as: nil)
        func chosen(textAlone: Bool = false) throws -> (name: String?, notices: [String]) {
            var notices: [String] = []
            let source = try ModelSource(contentsOf: URL(filePath: model), takesTextAlone: textAlone) {
                notices.append($0)
            }
            guard case .gguf(_, let projector) = source else { return (nil, notices) }
            return (projector.map { URL(filePath: $0.path).lastPathComponent }, notices)
        }
        #expect(try chosen().name == "mmproj-model.gguf")
        try FileManager.default.removeItem(atPath: projector)
        let other = try chosen()
        #expect(other.name == nil && other.notices.count == 1)
        #expect(
            other.notices.first?.hasPrefix(
                "\(model): text alone, since its towers are not these: \(foreign), clip.vision.projection_dim: expected 48"
            ) == true, "\(other.notices)")
        #expect(try Gemma4Pipeline(contentsOf: URL(filePath: model)).model.configuration.visionConfig == nil)
        let alone = try chosen(textAlone: true)
        #expect(alone.name == nil && alone.notices.isEmpty)
        // A damaged one likewise.
        try directory.write(Array("GGUF".utf8), to: "mmproj-of31B.gguf")
        #expect(try chosen().notices.first?.contains(foreign) == true)
    }

    // MARK: Files that do not fit

    @Test func namesAdapters() throws {
        let lora = URL(filePath: directory.path, directoryHint: .isDirectory)
        try directory.write(#"{"base_model_name_or_path": "google/gemma-4-E2B-it"}"#.utf8, to: "adapter_config.json")
        let message =
            "\(lora.path): expected a whole model, found a LoRA adapter of google/gemma-4-E2B-it. Merge it into its base model, with peft's merge_and_unload say, and give the result."
        #expect(failure { try Gemma4Pipeline(contentsOf: lora) } == message)
        try directory.write("{}".utf8, to: "config.json")
        #expect(failure { try Gemma4Pipeline(contentsOf: lora) } == message)
        // Beside whole weights it is passed over, as by transformers without peft.
        try directory.write("".utf8, to: "model.safetensors")
        #expect(!failure { try Gemma4Pipeline(contentsOf: lora) }.contains("LoRA"))
    }

    @Test(arguments: [
        (
            [("general.architecture", GGUFValue.string("llama"))],
            "general.architecture: expected \"gemma4\", found \"llama\" (another family of models)."
        ),
        (
            [("general.architecture", .string("gemma4")), ("general.type", .string("adapter"))],
            "general.type: expected \"model\", found \"adapter\" (a LoRA adapter, which holds changes to a model)."
        ),
    ])
    func namesWhatAFileHoldsBeforeItsVocabulary(metadata: [(String, GGUFValue)], message: String) throws {
        let path = "\(directory.path)/other.gguf"
        let writer = try GGUFWriter(path, metadata: metadata.map { (key: $0, value: $1) }, tensors: [])
        try writer.finish()
        #expect(failure { try ModelSource(contentsOf: URL(filePath: path)) }.hasPrefix("\(path), \(message)"))
    }

    /// Whatever else is wrong: missing shards, tensors of unknown types.
    @Test(
        arguments: [
            ([("general.architecture", .string("qwen3"))], "found \"qwen3\" (another family of models)."),
            ([("general.architecture", .string("clip"))], "found \"clip\" (the towers of a model)."),
            ([("general.architecture", .string("gemma-embedding"))], "found \"gemma-embedding\" (EmbeddingGemma, "),
            (
                [("general.type", .string("imatrix"))],
                "found \"imatrix\" (how much each weight matters, for quantizing)."
            ),
        ] as [([(String, GGUFValue)], String)])
    func namesWhatAFileHoldsBeforeAnythingElse(metadata: [(String, GGUFValue)], message: String) throws {
        let shards: [(key: String, value: GGUFValue)] = [("split.no", .uint16(0)), ("split.count", .uint16(2))]
        var bytes = GGUFWriter.header(metadata.map { (key: $0, value: $1) } + shards, [.init("x", .float32, [1])])
        let name = try #require(bytes.indices.last { bytes[$0] == UInt8(ascii: "x") })
        bytes[name + 13] = 199  // after the rank and the only dimension
        let path = try directory.write(bytes, to: "other-00001-of-00002.gguf")
        let found = failure { try ModelSource(contentsOf: URL(filePath: path)) }
        #expect(found.hasPrefix("\(path), general.") && found.contains(message), "\(found)")
        try export("E2B", as: nil)
        let given = failure { try ModelSource(contentsOf: URL(filePath: model), projector: URL(filePath: path)) }
        #expect(given.hasPrefix("\(path), ") && given.contains(message.contains("clip") ? "199" : "towers"), "\(given)")
    }

    @Test func refusesTowersOfAnotherModel() throws {
        try export("31B", as: nil)
        let towers = "\(directory.path)/of31B.gguf"
        try FileManager.default.moveItem(atPath: projector, toPath: towers)
        try export("E2B", as: nil)
        let width = try ModelSource(contentsOf: URL(filePath: Goldens.checkpoint("31B"))).configuration().textConfig
            .hiddenSize
        #expect(
            failure { try Gemma4Pipeline(contentsOf: URL(filePath: model), projector: URL(filePath: towers)) }
                == "\(towers), clip.vision.projection_dim: expected 48, the width of \(model), found \(width). The towers are of another model: give the mmproj file that was published beside this one."
        )
        #expect(
            failure { try Gemma4Pipeline(contentsOf: URL(filePath: model), projector: URL(filePath: model)) }
                == "\(model), general.architecture: expected \"clip\", the towers of a model, found \"gemma4\". Give the mmproj file that was published beside the model."
        )
        #expect(
            failure { try Gemma4Pipeline(contentsOf: URL(filePath: towers)) }.hasPrefix(
                "\(towers), general.architecture: expected \"gemma4\", found \"clip\" (the towers of a model). Give its text model; "
            ))
        #expect(
            failure {
                try Gemma4Pipeline(
                    contentsOf: URL(filePath: Goldens.checkpoint("E2B")), projector: URL(filePath: towers))
            }.hasPrefix("\(towers): expected a GGUF file as its text model, found "))
    }

    /// Metadata that were changed, by the key that a message must name.
    @Test(
        arguments: [
            (
                "general.architecture", .string("gemma3"),
                "expected \"gemma4\", found \"gemma3\" (Gemma 3, an older family with other layers)"
            ),
            ("gemma4.embedding_length", nil, "expected a value, found none"),
            ("gemma4.embedding_length", .string("48"), "expected an integer, found \"48\""),
            ("gemma4.embedding_length", .uint32(0), "expected an integer from 1 to 262144, found 0"),
            ("gemma4.block_count", .uint32(5000), "expected an integer from 1 to 4096, found 5000"),
            (
                "gemma4.attention.sliding_window_pattern", .uint32(5),
                "expected true or false for each of 15 layers, found 5"
            ),
            ("gemma4.attention.shared_kv_layers", .uint32(15), "expected an integer from 0 to 14, found 15"),
            ("gemma4.attention.value_length", .uint32(31), "expected 32, as of keys, found 31"),
            (
                "gemma4.attention.head_count_kv", .array(GGUFArray([1, 2] as [Int32])),
                "expected an integer, or one for each of 15 layers, found an array of 2 int32"
            ),
            ("gemma4.rope.dimension_count", .uint32(16), "expected 32, the size of a head, found 16"),
            ("gemma4.rope.freq_base", .float32(-1), "expected a number above 0.0, found -1.0"),
            (
                "gemma4.feed_forward_length", .array(GGUFArray([Int32](repeating: 88, count: 14) + [99])),
                "expected one width, or twice that in the layers that share keys and values, found [88, 88, 88, 88, 88, 88, 88, 88, 88, 88, 88, 88, 88, 88, 99]"
            ),
            ("tokenizer.ggml.suppress_tokens", .string("1"), "expected token ids, found \"1\""),
            ("tokenizer.ggml.model", .string("llama"), "expected \"gemma4\", found \"llama\""),
            ("tokenizer.ggml.merges", nil, "expected the vocabulary's merges, found none"),
            (
                "tokenizer.ggml.token_type", .array(GGUFArray([1, 1] as [Int32])),
                "expected 701 types, one for each token, found 2"
            ),
        ] as [(String, GGUFValue?, String)])
    func namesTheKey(key: String, value: GGUFValue?, expected: String) throws {
        try export("E2B", as: nil)
        try FileManager.default.removeItem(atPath: projector)
        try rewrite { metadata, _ in metadata[key] = value }
        let message = failure { try open() }
        #expect(message.hasPrefix("\(model), \(key): \(expected)."), "\(message)")
    }

    /// Metadata of the projections of the 12B.
    @Test(
        arguments: [
            (
                "clip.vision.patch_size", .uint32(7), "v.patch_embd.weight",
                "expected squares of three colours, a multiple of 7 pixels wide, found [64, 1728]"
            ),
            ("clip.vision.patch_size", .uint32(0), "v.patch_embd.weight", "expected squares of three colours"),
            (
                "clip.audio.projector_type", .string("gemma4a"), "clip.audio.projector_type",
                "expected \"gemma4ua\", found \"gemma4a\""
            ),
            (
                "clip.audio.attention.layer_norm_epsilon", nil, "clip.audio.attention.layer_norm_epsilon",
                "expected a value, found none"
            ),
        ] as [(String, GGUFValue?, String, String)])
    func namesWhatIsWrongWithProjections(key: String, value: GGUFValue?, place: String, expected: String) throws {
        try export("12B", as: nil)
        try rewrite(projector) { metadata, _ in metadata[key] = value }
        let message = failure {
            try Gemma4Pipeline(contentsOf: URL(filePath: model), projector: URL(filePath: projector))
        }
        #expect(message.hasPrefix("\(projector), \(place): \(expected)"), "\(message)")
    }

    /// All at once, by the names that stand in the file.
    @Test func namesTensorsThatAreWrong() throws {
        try export("E2B", as: nil)
        try rewrite { metadata, tensors in
            metadata["gemma4.embedding_length_per_layer_input"] = .uint32(14)
            tensors["blk.3.ffn_up.weight"] = nil
        }
        let message = failure { try open() }
        #expect(
            message.hasPrefix(
                "\(model): expected the tensors that the file's metadata describes, found 1 missing, 0 superfluous, "),
            "\(message)")
        #expect(message.contains("\n  blk.0.inp_gate.weight: expected [14, 48], found [12, 48]\n"))
        try export("E2B", as: nil)
        try rewrite { _, tensors in
            tensors["blk.3.ffn_up.weight"] = nil
            tensors["blk.3.ffn_up.bias"] = ([2], [1, 2])
        }
        #expect(
            failure { try open() } == """
                \(model): expected the tensors that the file's metadata describes, found 1 missing, 1 superfluous, 0 of another shape.
                  blk.3.ffn_up.bias: [2], not part of this model
                  blk.3.ffn_up.weight: missing, expected [88, 48]
                The file was made for another version of the model, or by an unfinished conversion: get another file.
                """)
    }

    /// Older files keep gates and up-projections of the experts apart.
    @Test func joinsExpertsThatAreInTwoTensors() async throws {
        let golden = try #require(GoldenCase.all.first { $0.variant == "26B-A4B" && $0.name == "long-text" })
        try export("26B-A4B", as: nil)
        try rewrite { _, tensors in
            for (name, tensor) in tensors where name.hasSuffix("ffn_gate_up_exps.weight") {
                let half = tensor.shape[1] / 2 * tensor.shape[2]
                let halves = stride(from: 0, to: tensor.values.count, by: half).map {
                    tensor.values[$0..<$0 + half]
                }
                let shape = [tensor.shape[0], tensor.shape[1] / 2, tensor.shape[2]]
                for (part, name) in ["gate", "up"].map({ name.replacing("gate_up", with: $0) }).enumerated() {
                    let values = halves.indices.filter { $0 % 2 == part }.flatMap { halves[$0] }
                    tensors[name] = (shape, values)
                }
                tensors[name] = nil
            }
        }
        #expect(try await answer(golden, open()).tokens == golden.tokens)
        try rewrite { _, tensors in tensors["blk.0.ffn_up_exps.weight"] = nil }
        #expect(
            failure { try open() }
                == "\(model), blk.0.ffn_gate_exps.weight: expected up-projections of the same shape and type, found none. Convert the model again with a current converter, or get another file."
        )
    }

    /// Rewrites the model, or another file, in f32.
    private func rewrite(
        _ path: String? = nil,
        _ change: (inout [String: GGUFValue], inout [String: (shape: [Int], values: [Float])]) -> Void
    ) throws {
        let path = path ?? model
        let file = try GGUFFile(path)
        let checkpoint = try Checkpoint([GGUFShards(path)]) { ($0, .published) }
        var metadata = file.metadata
        var tensors: [String: (shape: [Int], values: [Float])] = [:]
        for entry in file.tensors {
            let tensor = try checkpoint.tensor(entry.name, Shape(entry.shape), on: Device(threadCount: 1))
            tensors[entry.name] = (entry.shape, tensor?.toArray() ?? [])
        }
        change(&metadata, &tensors)
        let ordered = tensors.sorted { $0.key < $1.key }
        var writer = try GGUFWriter(
            path, metadata: metadata.map { ($0.key, $0.value) },
            tensors: ordered.map { .init($0.key, .float32, Shape($0.value.shape)) })
        for tensor in ordered { try tensor.value.values.withUnsafeBytes { try writer.append($0) } }
        try writer.finish()
    }

    private func failure(_ body: () throws -> some Any) -> String {
        do {
            _ = try body()
            return "no error"
        } catch {
            return "\(error)"
        }
    }
}
