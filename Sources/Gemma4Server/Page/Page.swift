import Hummingbird

/// The web page at `/`, whose files are embedded in the program.
enum Page {
    /// Loads nothing from other origins, and sends nothing to them.
    private static let policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src blob: data:; "
        + "media-src blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"

    static func addRoutes(to router: some RouterMethods<ServerContext>) {
        for (path, type, bytes) in [
            ("/", "text/html", PackageResources.page_html), ("/page.css", "text/css", PackageResources.page_css),
            ("/page.js", "text/javascript", PackageResources.page_js),
        ] {
            let body = ByteBuffer(bytes: bytes)
            router.get(RouterPath(path)) { _, _ in
                Response(
                    status: .ok,
                    headers: [
                        .contentType: "\(type); charset=utf-8", .contentSecurityPolicy: policy,
                        .xContentTypeOptions: "nosniff", .init("Referrer-Policy")!: "no-referrer",
                        .cacheControl: "no-cache",
                    ], body: .init(byteBuffer: body))
            }
        }
    }
}
