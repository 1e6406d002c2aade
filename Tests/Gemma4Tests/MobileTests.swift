import Tensors
import TestSupport
import Testing
import Weights

@testable import Gemma4

/// A checkpoint with 2-, 4- and 8-bit weights and quantized activations against transformers (`Goldens/mobile`).
@Suite struct MobileTests {
    private let expected: Goldens
    private let configuration: ModelConfiguration
    private let checkpoint: Checkpoint

    init() throws {
        let directory = Goldens.folder.appending(path: "mobile/checkpoint").path
        expected = try Goldens("mobile/expected.safetensors")
        configuration = try ModelConfiguration(contentsOf: "\(directory)/config.json")
        checkpoint = try Checkpoint(directory, checkedAgainst: TensorTable(configuration))
    }

    /// The weights as a file without steps of activations would hold them.
    private struct WithoutSteps: WeightSource {
        let checkpoint: Checkpoint
        var path: String { checkpoint.path }

        func tensor(_ name: String, _ shape: Shape, on device: Device) throws(CheckpointError) -> Tensor? {
            name.hasSuffix("_activation_scale") ? nil : try checkpoint.tensor(name, shape, on: device)
        }

        func shape(_ name: String) -> [Int]? { checkpoint.shape(name) }
        func advise(_ access: MappedFile.Access, _ name: String) { checkpoint.advise(access, name) }
    }

    private func model(_ source: any WeightSource, _ activations: Activations = .float32) throws -> Gemma4Model {
        try Gemma4Model(
            configuration, WeightScope(source, on: Device()), activations: activations, keyValueType: .float32)
    }

    private func tokens() throws -> [Int] { try expected("tokens").values.map { Int($0) } }

    private func largestDifference(_ found: Tensor, _ name: String) throws -> Float {
        let values = try expected(name)
        #expect(found.shape.dimensions == values.shape, "\(name)")
        return zip(found.toArray(), values.values).reduce(0) { max($0, abs($1.0 - $1.1)) }
    }

    private func patches() throws -> (patches: Tensor, grid: PatchGrid) {
        let pixels = try Goldens("components.safetensors")("wide.pixels")
        let processor = try ImageProcessor(
            patchSize: configuration.visionConfig!.patchSize,
            poolingKernelSize: configuration.visionConfig!.poolingKernelSize, maxSoftTokens: 70)
        let image = try processor(
            width: pixels.shape[1], height: pixels.shape[0], rgb: pixels.values.map { UInt8($0) })
        return (Tensor(image.values, [image.count, image.values.count / image.count], on: Device()), image.grid)
    }

    // MARK: Loading

    /// Each module has the bits that the configuration gives it, whichever pattern that is.
    @Test func readsEachWidth() throws {
        func type(_ module: String) -> ElementType? { checkpoint.entries["\(module).weight"]?.elementType }
        let text = "model.language_model"
        #expect(type("lm_head") == .int2 && type("\(text).embed_tokens") == .int2)
        #expect(type("\(text).embed_tokens_per_layer") == .int4)
        #expect(type("\(text).layers.0.mlp.down_proj") == .int2 && type("\(text).layers.2.mlp.up_proj") == .int4)
        #expect(type("\(text).layers.3.mlp.up_proj") == .int2 && type("\(text).layers.3.self_attn.o_proj") == .int4)
        #expect(type("\(text).layers.5.per_layer_projection") == .int8)
        #expect(type("model.vision_tower.encoder.layers.0.self_attn.q_proj.linear") == .int8)
        #expect(type("model.audio_tower.layers.1.lconv1d.linear_start.linear") == .int4)
        #expect(type("model.audio_tower.layers.1.lconv1d.linear_end.linear") == .int2)
        #expect(type("model.audio_tower.layers.1.self_attn.relative_k_proj") == .bfloat16)
        #expect(type("\(text).per_layer_model_projection") == .bfloat16)
        guard case .gemma(let quantization) = configuration.quantization else {
            Issue.record("no configuration of quantized modules")
            return
        }
        #expect(quantization.converts("\(text).layers.0.mlp.down_proj"))
        for module in [
            "model.audio_tower.layers.1.self_attn.relative_k_proj", "model.vision_tower.patch_embedder.input_proj",
            "\(text).per_layer_model_projection",
        ] {
            #expect(!quantization.converts(module), "\(module)")
        }
    }

    @Test func looksUpRowsOfBothTables() throws {
        let model = try model(checkpoint)
        let some = Array(try tokens().prefix(5))
        #expect(try largestDifference(model.decoder.embedding(some), "embedding.tokens") == 0)
        let perLayer = try #require(model.decoder.perLayerEmbedding)
        #expect(try largestDifference(perLayer.embedding!(some), "embedding.perLayer") == 0)
        let columns = perLayer.embedding!(some, columns: 40..<130).toArray()
        let all = try expected("embedding.perLayer")
        let wanted = (0..<5).flatMap { row in (40..<130).map { all.values[row * all.shape[1] + $0] } }
        #expect(columns == wanted)
    }

    // MARK: Arithmetic

    private static let modules: [(name: String, part: String)] = [
        ("lm_head", "2 bits"), ("model.language_model.layers.0.self_attn.q_proj", "4 bits"),
        ("model.language_model.layers.0.mlp.down_proj", "2 bits"),
        ("model.language_model.layers.1.mlp.gate_proj", "4 bits"),
        ("model.language_model.layers.4.mlp.up_proj", "2 bits"),
        ("model.language_model.layers.0.per_layer_input_gate", "8 bits"),
        ("model.language_model.layers.3.per_layer_projection", "8 bits"),
        ("model.vision_tower.encoder.layers.1.mlp.down_proj.linear", "8 bits"),
        ("model.audio_tower.layers.0.feed_forward1.ffw_layer_1.linear", "2 bits"),
        ("model.audio_tower.layers.1.lconv1d.linear_start.linear", "4 bits"),
    ]

    /// On the reference's inputs only the order of an f32 sum differs: no output is quantized to another step.
    @Test(arguments: KernelSet.available, modules)
    func modulesEqualTransformers(set: KernelSet, module: (name: String, part: String)) throws {
        let device = Device(threadCount: 2, kernels: set)
        let input = try expected("module.\(module.name).input")
        let output = try expected("module.\(module.name).output")
        let linear = try Linear(
            input.shape[1], output.shape[1], WeightScope(checkpoint, on: device)[module.name])
        #expect(linear.weight.isPacked && linear.weight.scales!.inputStep > 0 && linear.weight.scales!.outputStep > 0)
        let found = linear(Tensor(input.values, Shape(input.shape), on: device))
        #expect(try largestDifference(found, "module.\(module.name).output") <= 4e-7 * output.scale, "\(module)")
    }

    /// Two correct f32 programs differ by 2e-4 of the largest value at most (`DecoderTests`).
    @Test func withoutStepsAllEqualsTransformers() throws {
        let model = try model(WithoutSteps(checkpoint: checkpoint))
        let tokens = try tokens()
        let input = try model.decoderInput(
            .init(tokens: tokens, wantedRows: Array(tokens.indices), cache: model.makeCache()))
        let hidden = model.decoder([input]) { layer, stream in
            guard let values = try? expected("plain.layer.\(layer)") else {
                Issue.record("no golden of layer \(layer)")
                return
            }
            let difference = zip(stream.toArray(), values.values).reduce(0) { max($0, abs($1.0 - $1.1)) }
            #expect(difference <= 2e-4 * values.scale, "layer \(layer)")
        }
        let logits = try expected("plain.logits")
        #expect(try largestDifference(model.logits(hidden), "plain.logits") <= 2e-4 * logits.scale)
        let (patches, grid) = try patches()
        let vision = try model.vision!.embedder(model.vision!.tower(patches, grid))
        #expect(try largestDifference(vision, "plain.vision") <= 2e-4 * expected("plain.vision").scale)
        let audio = model.audio!.embedder(model.audio!.tower(try melFrames(model.device)))
        #expect(try largestDifference(audio, "plain.audio") <= 2e-4 * expected("plain.audio").scale)
    }

    /// If f32 noise changes a quantization step, the network propagates it: the deviation is at most that of the
    /// reference from itself with steps changed by 3e-7, or of two programs without such a change (`AudioTowerTests`).
    @Test func withStepsAsCloseAsTheReferenceToItself() throws {
        let model = try model(checkpoint)
        let tokens = try tokens()
        let hidden = try model([.init(tokens: tokens, wantedRows: Array(tokens.indices), cache: model.makeCache())])
        let (patches, grid) = try patches()
        let found = [
            ("logits", model.logits(hidden)),
            ("vision", try model.vision!.embedder(model.vision!.tower(patches, grid))),
            ("audio", model.audio!.embedder(model.audio!.tower(try melFrames(model.device)))),
        ]
        for (name, found) in found {
            let bound = try max(expected("shaken.\(name)").values[0], 1.5e-5 * expected("steps.\(name)").scale)
            #expect(try largestDifference(found, "steps.\(name)") <= bound, "\(name)")
        }
        // Without steps the answers are others.
        #expect(try largestDifference(found[0].1, "plain.logits") > 0.5)
    }

    /// Activations without steps are int8 in blocks of 32: as far from f32 as with other quantized weights.
    @Test func activationsWithoutStepsHave8Bits() throws {
        let exact = try model(WithoutSteps(checkpoint: checkpoint))
        let fast = try model(WithoutSteps(checkpoint: checkpoint), .int8)
        let tokens = try tokens()
        func logits(_ model: Gemma4Model) throws -> [Float] {
            let input = Gemma4Model.Input(
                tokens: tokens, wantedRows: Array(tokens.indices), cache: model.makeCache())
            return model.logits(try model([input])).toArray()
        }
        let (a, b) = (try logits(exact), try logits(fast))
        let signal = a.reduce(0) { $0 + $1 * $1 }
        let noise = zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        #expect(noise < signal / 1_000 && noise > 0, "\(noise / signal)")
    }

    // MARK: Keys and values

    /// Cached keys and values are quantized with the published steps; each layer that owns them has two.
    @Test func cacheHasThePublishedSteps() throws {
        let model = try Gemma4Model(configuration, WeightScope(checkpoint, on: Device()), keyValueType: .int8)
        let plan = model.decoder.plans[0]
        let shape: Shape = [3, plan.numKeyValueHeads, plan.headDimension]
        var numbers = SeededNumbers(seed: 4)
        let (keys, values) = (numbers.floats(shape.count, in: -5...5), numbers.floats(shape.count, in: -5...5))
        let cache = model.makeCache()
        cache.write(Tensor(keys, shape, on: model.device), Tensor(values, shape, on: model.device), layer: 0)
        cache.advance(by: 3)
        let queries = Tensor(
            numbers.floats(3 * plan.numAttentionHeads * plan.headDimension),
            [3, plan.numAttentionHeads, plan.headDimension], on: model.device)
        func rounded(_ values: [Float]) -> Tensor { Tensor(values, shape, on: model.device).rounded(toSteps: 0.03) }
        let visible = [0..<1, 0..<2, 1..<3]
        let expected = queries.attending(
            to: [KeyValueSegment(firstPosition: 0, keys: rounded(keys), values: rounded(values))], visible: visible)
        let found = queries.attending(to: cache.segments(layer: 0), visible: visible)
        expectClose(found.toArray(), expected.toArray(), absolute: 1e-5)
        #expect(keys.contains { abs($0) > 128 * 0.03 })  // some are clamped
        let half = Gemma4Model.Input(tokens: try tokens(), wantedRows: [23], cache: model.makeCache())
        #expect(try model.logits(model([half])).toArray().allSatisfy(\.isFinite))
    }

    @Test func cacheWithoutStepsIsRefused() throws {
        let directory = Goldens.checkpoint("E2B")
        let configuration = try ModelConfiguration(contentsOf: "\(directory)/config.json")
        let checkpoint = try Checkpoint(directory, checkedAgainst: TensorTable(configuration))
        let error = #expect(throws: CheckpointError.self) {
            try Gemma4Model(configuration, WeightScope(checkpoint, on: Device()), keyValueType: .int8)
        }
        #expect(error?.description.contains("layers.0.self_attn.k_cache_scale: missing") == true)
    }

    private func melFrames(_ device: Device) throws -> Tensor {
        let frames = try expected("mel")
        return Tensor(frames.values, Shape(frames.shape), on: device)
    }
}
