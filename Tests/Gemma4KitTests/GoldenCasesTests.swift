import TestSupport
import Testing

/// Tests that run over the golden cases would pass if there were none.
@Test(arguments: Goldens.variants)
func everyVariantHasItsCases(variant: String) {
    let names = Set(GoldenCase.all.filter { $0.variant == variant }.map(\.name))
    #expect(
        names.isSuperset(of: [
            "text", "long-text", "stop", "system", "thinking", "turns", "image", "images", "image-turns",
        ]))
    #expect(names.isSuperset(of: ["audio", "audios", "image-audio"]) == variant.hasPrefix("E"))
    #expect(GoldenCase.all.contains { $0.variant == variant && $0.traced })
}
