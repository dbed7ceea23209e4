new EventSource("sse").onmessage = (event) => console.log(event.data);
