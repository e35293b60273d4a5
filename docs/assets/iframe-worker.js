// Browsers refuse to start workers for pages that are opened from the disk. The search then runs in a hidden frame.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inside = frame.contentWindow;
      addEventListener("message", (event) => {
        if (event.source !== this.inside) return;
        const message = new MessageEvent("message", { data: event.data });
        this.dispatchEvent(message);
        this.onmessage?.(message);
      });
      this.loaded = new Promise((resolve) => (this.inside.loaded = resolve));
      this.inside.document.write(
        `<script>IFrameWorker = true; postMessage = (message) => parent.postMessage(message, "*");</script>` +
          `<script src="${url}" onload="loaded()"></script>`,
      );
      this.inside.document.close();
    }

    postMessage(message) {
      this.loaded.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data: message })));
    }

    terminate() {
      this.inside.frameElement.remove();
    }
  };
}
