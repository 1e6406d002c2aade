import Testing

@testable import Gemma4

/// The parameter counts that Google published for each variant, and their sums by part.
struct TensorTableTests {
    struct Expected: Sendable {
        let embedding, perLayerTable, perLayerProjection, attention, feedForward, experts, router, norms: Int
        let text, active, leftover, vision, audio, published, tensors: Int
    }

    static let expected: [Published: Expected] = [
        .e2b: Expected(
            embedding: 402_653_184, perLayerTable: 2_348_810_240, perLayerProjection: 41_341_696,
            attention: 278_412_288, feedForward: 1_557_135_360, experts: 0, router: 0, norms: 216_611,
            text: 4_628_569_379, active: 4_628_569_379, leftover: 18_880_512, vision: 168_544_256, audio: 307_183_904,
            published: 5_123_178_051, tensors: 2_011),
        .e4b: Expected(
            embedding: 671_088_640, perLayerTable: 2_818_572_288, perLayerProjection: 82_683_136,
            attention: 587_222_272, feedForward: 3_303_014_400, experts: 0, router: 0, norms: 432_682,
            text: 7_463_013_418, active: 7_463_013_418, leftover: 55_055_616, vision: 169_330_688, audio: 308_756_768,
            published: 7_996_156_490, tensors: 2_130),
        .unified12b: Expected(
            embedding: 1_006_632_960, perLayerTable: 0, perLayerProjection: 0,
            attention: 2_406_510_592, feedForward: 8_493_465_600, experts: 0, router: 0, norms: 741_168,
            text: 11_907_350_320, active: 11_907_350_320, leftover: 0, vision: 49_922_304, audio: 2_457_600,
            published: 11_959_730_224, tensors: 677),
        .dense31b: Expected(
            embedding: 1_409_286_144, perLayerTable: 0, perLayerProjection: 0,
            attention: 8_477_772_800, feedForward: 20_808_990_720, experts: 0, router: 0, norms: 1_295_676,
            text: 30_697_345_340, active: 30_697_345_340, leftover: 0, vision: 575_743_536, audio: 0,
            published: 31_273_088_876, tensors: 1_188),
        .sparse26b: Expected(
            embedding: 738_197_504, perLayerTable: 0, perLayerProjection: 0,
            attention: 1_110_197_760, feedForward: 535_265_280, experts: 22_837_985_280, router: 10_901_760,
            norms: 594_206,
            text: 25_233_141_790, active: 3_822_530_590, leftover: 0, vision: 572_794_416, audio: 0,
            published: 25_805_936_206, tensors: 1_013),
    ]

    @Test(arguments: Published.allCases)
    func meetsThePublishedCounts(variant: Published) throws {
        let table = TensorTable(try variant.configuration)
        let expected = try #require(Self.expected[variant])
        #expect(table.parameterCount(.embedding) == expected.embedding)
        #expect(table.parameterCount(.perLayerTable) == expected.perLayerTable)
        #expect(table.parameterCount(.perLayerProjection) == expected.perLayerProjection)
        #expect(table.parameterCount(.attention) == expected.attention)
        #expect(table.parameterCount(.feedForward) == expected.feedForward)
        #expect(table.parameterCount(.experts) == expected.experts)
        #expect(table.parameterCount(.router) == expected.router)
        #expect(table.parameterCount(.norms) == expected.norms)
        #expect(table.parameterCount(.leftover) == expected.leftover)
        #expect(table.parameterCount(.vision) == expected.vision)
        #expect(table.parameterCount(.audio) == expected.audio)
        #expect(table.parameterCount(.head) == 0)
        #expect(table.textParameterCount == expected.text)
        #expect(table.activeParameterCount == expected.active)
        #expect(table.publishedParameterCount == expected.published)
        #expect(table.rows.count == expected.tensors)
        #expect(Set(table.rows.map(\.name)).count == expected.tensors)
    }

    /// "Effective" parameters: all but the table of per-layer embeddings.
    @Test(arguments: [(Published.e2b, 2_279_759_139), (.e4b, 4_644_441_130)])
    func countsEffectiveParameters(variant: Published, effective: Int) throws {
        let table = TensorTable(try variant.configuration)
        #expect(table.textParameterCount - table.parameterCount(.perLayerTable) == effective)
    }

    @Test(arguments: [(Published.e2b, 928), (.e4b, 928), (.unified12b, 0), (.dense31b, 0), (.sparse26b, 0)])
    func countsClipBounds(variant: Published, count: Int) throws {
        #expect(TensorTable(try variant.configuration).parameterCount(.clipBounds) == count)
    }

    /// Shapes that the spec's table lists one by one.
    @Test(arguments: [
        (Published.e2b, "layers.3.self_attn.q_proj.weight", [2048, 1536]),
        (.e2b, "layers.4.self_attn.q_proj.weight", [4096, 1536]),
        (.e2b, "layers.14.mlp.up_proj.weight", [6144, 1536]), (.e2b, "layers.15.mlp.up_proj.weight", [12288, 1536]),
        (.e4b, "layers.4.self_attn.k_proj.weight", [512, 2560]),
        (.e4b, "layers.5.self_attn.k_proj.weight", [1024, 2560]),
        (.unified12b, "layers.5.self_attn.k_proj.weight", [512, 3840]),
        (.dense31b, "layers.4.self_attn.k_proj.weight", [4096, 5376]),
        (.dense31b, "layers.5.self_attn.k_proj.weight", [2048, 5376]),
        (.sparse26b, "layers.5.self_attn.o_proj.weight", [2816, 8192]),
        (.sparse26b, "layers.0.experts.gate_up_proj", [128, 1408, 2816]),
    ])
    func shapesFollowTheLayer(variant: Published, name: String, shape: [Int]) throws {
        let rows = TensorTable(try variant.configuration).rows
        #expect(rows.first { $0.name == "model.language_model.\(name)" }?.shape.dimensions == shape)
    }

    @Test func fullLayersOf31BHaveNoValueProjection() throws {
        let names = Set(TensorTable(try Published.dense31b.configuration).rows.map(\.name))
        #expect(!names.contains("model.language_model.layers.5.self_attn.v_proj.weight"))
        #expect(names.contains("model.language_model.layers.4.self_attn.v_proj.weight"))
    }

    @Test(arguments: [
        ("language_model.model.layers.3.layer_scalar", "model.language_model.layers.3.layer_scalar"),
        ("language_model.lm_head.weight", "lm_head.weight"),
        ("model.layers.3.layer_scalar", "model.language_model.layers.3.layer_scalar"),
        ("model.embed_tokens_per_layer.weight", "model.language_model.embed_tokens_per_layer.weight"),
        ("model.per_layer_model_projection.weight", "model.language_model.per_layer_model_projection.weight"),
        ("model.norm.weight", "model.language_model.norm.weight"),
        ("vision_tower.std_bias", "model.vision_tower.std_bias"),
        ("model.embed_vision.embedding_projection.weight", "model.embed_vision.embedding_projection.weight"),
        ("model.vision_embedder.patch_ln1.bias", "model.vision_embedder.patch_ln1.bias"),
        ("vision_embedder.pos_embedding", "model.vision_embedder.pos_embedding"),
        ("model.embed_vision.patch_dense.weight", "model.vision_embedder.patch_dense.weight"),
        ("model.embed_vision.pos_embedding", "model.vision_embedder.pos_embedding"),
        ("model.embed_vision.pos_norm.weight", "model.vision_embedder.pos_norm.weight"),
        (
            "model.embed_vision.multimodal_embedder.embedding_projection.weight",
            "model.embed_vision.embedding_projection.weight"
        ),
        ("model.embed_vision.patches", "model.embed_vision.patches"),
        ("model.language_model.norm.weight", "model.language_model.norm.weight"),
        ("lm_head.weight", "lm_head.weight"),
    ])
    func namesInTheWildBecomeThePublishedOnes(found: String, published: String) {
        #expect(TensorNames.published(found) == published)
    }
}
